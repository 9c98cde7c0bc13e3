"""The generators: same seed same scene, and a truth that is really true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.synthetic import (
    KINDS,
    MODALITIES,
    SCENES,
    SyntheticScene,
    dividing_cells,
    draw_kinds,
    mixed,
    nuclei_volume,
)
from napari_sam.synthetic.fields import partition, smooth_noise
from napari_sam.synthetic.kinds import LOOKALIKES
from napari_sam.synthetic.scene import MIN_AREA, Canvas
from napari_sam.synthetic.shapes import blob, capsule

EIGHT = np.ones((3, 3), bool)


def make(name: str, seed: int, shape: tuple[int, int] = (128, 128)) -> SyntheticScene:
    return SCENES[name](np.random.default_rng(seed), shape)


def pieces(mask: np.ndarray) -> int:
    return int(ndimage.label(mask, np.ones((3,) * mask.ndim))[1])


def check_truth(scene: SyntheticScene, shape: tuple[int, int]) -> None:
    ids = [int(i) for i in np.unique(scene.labels) if i]
    assert ids == list(range(1, len(ids) + 1)) == sorted(scene.classes)
    assert ids
    assert scene.labels.shape == shape
    assert scene.labels.dtype == np.int32
    assert scene.image.shape[:2] == shape
    assert scene.image.shape[2:] in ((), (3,))
    assert scene.image.dtype in (np.uint8, np.uint16)
    for i in ids:
        assert pieces(scene.labels == i) == 1
        assert np.count_nonzero(scene.labels == i) >= MIN_AREA


@pytest.mark.parametrize("shape", [(128, 128), (64, 200), (97, 61)])
@pytest.mark.parametrize("name", SCENES)
def test_scene_truth_is_whole_and_named(name: str, shape: tuple[int, int]) -> None:
    for seed in range(3):
        scene = make(name, seed, shape)
        check_truth(scene, shape)
        assert scene.modality


@pytest.mark.parametrize("name", SCENES)
def test_same_seed_same_scene_and_another_seed_another(name: str) -> None:
    first, again, other = make(name, 4), make(name, 4), make(name, 5)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.classes == again.classes
    assert not np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize("name", SCENES)
def test_objects_differ_from_their_surroundings(name: str) -> None:
    """In most scenes a statistic in the objects leaves that of a ring around them."""
    differing = 0
    for seed in range(8):
        scene = make(name, 20 + seed)
        grey = scene.image.reshape(*scene.labels.shape, -1).mean(-1)
        lines = ndimage.grey_erosion(scene.labels, 5) != ndimage.grey_dilation(
            scene.labels, 5
        )
        inner = (scene.labels > 0) & ~lines
        if not inner.any():
            inner = scene.labels > 0
        outer = lines | (scene.labels == 0)
        noise = np.std(grey[inner]) + 1e-6
        differing += abs(grey[inner].mean() - grey[outer].mean()) > 0.1 * noise
    assert differing >= 5


@pytest.mark.parametrize(
    "name", ["fluorescence_nuclei", "rod_bacteria", "cocci", "yeast", "grains"]
)
def test_some_neighbours_touch(name: str) -> None:
    touching = 0
    for seed in range(12):
        labels = make(name, seed, (192, 192)).labels
        right, left = labels[:, 1:], labels[:, :-1]
        touching += bool(((right != left) & (right > 0) & (left > 0)).any())
    assert touching >= 3


def test_object_sizes_span_an_order_of_magnitude() -> None:
    diameters = []
    for seed in range(40):
        labels = make("fluorescence_nuclei", seed, (256, 256)).labels
        areas = np.bincount(labels.ravel())[1:]
        diameters.append(2 * np.sqrt(np.median(areas) / np.pi))
    assert min(diameters) < 12
    assert max(diameters) > 100
    assert 15 < np.median(diameters) < 90


@pytest.mark.parametrize("name", ["blood_smear", "fluorescence_cells"])
def test_nuclei_lie_in_the_cells_whose_id_they_have(name: str) -> None:
    found = 0
    for seed in range(5):
        scene = make(name, seed, (192, 192))
        nuclei = scene.layers["nucleus"]
        inside = nuclei > 0
        np.testing.assert_array_equal(nuclei[inside], scene.labels[inside])
        for i in np.unique(nuclei[inside]):
            assert pieces(nuclei == i) == 1
            found += np.count_nonzero(nuclei == i) < np.count_nonzero(scene.labels == i)
    assert found >= 5


def test_blood_smear_names_both_kinds_of_cell() -> None:
    words = {
        word for seed in range(5) for word in make("blood_smear", seed).classes.values()
    }
    assert words == {"white blood cell", "red blood cell"}


@pytest.mark.parametrize("modality", MODALITIES)
def test_mixed_scene_has_every_kind_asked_for(modality: str) -> None:
    kinds = ["nuclei", "rod bacteria", "worms"]
    scene = mixed(
        np.random.default_rng(1), (192, 192), kinds, modality=modality, diameter=24.0
    )
    check_truth(scene, (192, 192))
    assert set(scene.classes.values()) == {KINDS[kind].word for kind in kinds}
    assert scene.modality == modality


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_scene_of_one_kind(kind: str) -> None:
    scene = mixed(np.random.default_rng(2), (160, 160), [kind])
    check_truth(scene, (160, 160))
    assert set(scene.classes.values()) == {KINDS[kind].word}


@pytest.mark.parametrize("kinds", [[], ["unicorns"], ["nuclei", "unicorns"]])
def test_mixed_refuses_unknown_kinds(kinds: list[str]) -> None:
    with pytest.raises(ValueError, match="Kinds must be some of"):
        mixed(np.random.default_rng(0), (64, 64), kinds)


def test_mixed_refuses_an_unknown_modality() -> None:
    with pytest.raises(ValueError, match="modality must be one of"):
        mixed(np.random.default_rng(0), (64, 64), ["nuclei"], modality="x-ray")


def test_drawn_kinds_are_different_and_never_lookalikes() -> None:
    for seed in range(50):
        kinds = draw_kinds(np.random.default_rng(seed), 4)
        assert len(kinds) == len(set(kinds)) == 4
        assert not any(pair <= set(kinds) for pair in LOOKALIKES)


def test_volume_nuclei_are_round_in_units_not_in_voxels() -> None:
    scale = (2.0, 0.5, 0.5)
    scene = nuclei_volume(np.random.default_rng(3), (20, 96, 96), scale, count=25)
    assert scene.image.shape == scene.labels.shape == (20, 96, 96)
    ratios = []
    for i in scene.classes:
        assert pieces(scene.labels == i) == 1
        where = np.argwhere(scene.labels == i)
        low, high = where.min(0), where.max(0)
        if (low > 0).all() and (high < np.asarray(scene.labels.shape) - 1).all():
            extent = (high - low + 1) * np.asarray(scale)
            ratios.append(extent[0] / extent[1:].mean())
    assert len(ratios) >= 3
    assert 0.7 < np.median(ratios) < 1.5


@pytest.fixture(scope="module")
def series() -> SyntheticScene:
    return dividing_cells(np.random.default_rng(5), (20, 128, 128))


def test_series_cells_keep_their_id_while_they_move(series: SyntheticScene) -> None:
    moved = 0.0
    for i in series.classes:
        frames = [f for f in range(20) if (series.labels[f] == i).any()]
        centres = [ndimage.center_of_mass(series.labels[f] == i) for f in frames]
        steps = np.hypot(*np.diff(np.asarray(centres), axis=0).T)
        assert np.all(steps[np.diff(frames) == 1] < 9)
        moved = max(moved, float(np.sum(steps)))
        assert all(pieces(series.labels[f] == i) == 1 for f in frames)
    assert moved > 10


def test_series_daughters_start_when_their_mother_ends(series: SyntheticScene) -> None:
    assert len(series.parents) >= 4
    for child, mother in series.parents.items():
        born = min(f for f in range(20) if (series.labels[f] == child).any())
        last = max(f for f in range(20) if (series.labels[f] == mother).any())
        assert last < born
        if born - last == 1:
            here = ndimage.center_of_mass(series.labels[born] == child)
            there = ndimage.center_of_mass(series.labels[last] == mother)
            assert np.hypot(here[0] - there[0], here[1] - there[1]) < 25


def test_canvas_refuses_what_does_not_fit_and_hides_nothing_below() -> None:
    rng, canvas = np.random.default_rng(0), Canvas((40, 40))
    assert canvas.put(blob(rng, (20, 20), 16), "a") == 1
    before = canvas.labels.copy()
    assert canvas.put(blob(rng, (20, 22), 16), "b") == 0
    assert canvas.put(blob(rng, (-50, 20), 16), "b") == 0
    np.testing.assert_array_equal(canvas.labels, before)
    assert canvas.put(blob(rng, (20, 34.5), 16), "b") == 2
    np.testing.assert_array_equal(canvas.labels == 1, before == 1)


def test_tidy_keeps_the_largest_piece_and_renumbers() -> None:
    rng, canvas = np.random.default_rng(0), Canvas((60, 60))
    canvas.put(blob(rng, (8, 8), 10), "gone")
    canvas.put(capsule((30, 30), 50, 10, 0.0), "bar")
    canvas.put(capsule((30, 22), 50, 8, np.pi / 2), "post", overlap=1, on_top=True)
    canvas.labels[canvas.labels == 1] = 0
    canvas.tidy()
    assert canvas.classes() == {1: "bar", 2: "post"}
    assert pieces(canvas.labels == 1) == 1
    assert not canvas.labels[28:33, :18].any()


def test_smooth_noise_is_standard_and_as_smooth_as_asked() -> None:
    field = smooth_noise(np.random.default_rng(0), (400, 300), 10.0)
    assert field.dtype == np.float32
    assert abs(float(field.mean())) < 0.1
    assert 0.85 < float(field.std()) < 1.15
    assert float(np.abs(np.diff(field, axis=1)).mean()) < 0.25


def test_partition_edge_is_the_distance_to_the_border() -> None:
    rng = np.random.default_rng(0)
    ids, edge, seeds = partition(rng, (120, 120), 40.0, warp=0.0, variety=0.0)
    assert len(seeds) > ids.max()
    border = np.zeros(ids.shape, bool)
    border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    border[1:] |= ids[1:] != ids[:-1]
    exact = ndimage.distance_transform_edt(~border)
    middle = (slice(20, 100), slice(20, 100))
    assert float(np.abs(edge - exact)[middle].max()) < 4
