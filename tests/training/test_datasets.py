"""Folders become training images, or a sentence that says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from napari_sam.errors import DataError
from napari_sam.training.datasets import FolderSource, MixedSource, SyntheticSource
from napari_sam.training.reading import (
    Reading,
    StoredImage,
    TrainingImage,
    map_array,
    normalise,
)
from napari_sam.training.recipe import Recipe
from napari_sam.training.sets import open_data, split

from .conftest import DiscSource, WriteSet, draw_discs

RNG = np.random.default_rng
GREY = {"photometric": "minisblack"}


def write_stack(folder: Path, image: np.ndarray, labels: np.ndarray) -> Path:
    for kind, array in (("images", image), ("labels", labels)):
        (folder / kind).mkdir(parents=True)
        tifffile.imwrite(folder / kind / "stack.tif", array, photometric="minisblack")
    return folder


def test_a_folder_is_read_whole(write_set: WriteSet) -> None:
    source = FolderSource(write_set(count=3))
    assert len(source) == 3 and source.name == "discs"
    first = next(iter(source))
    assert first.image.shape == (3, 96, 96) and first.image.dtype == np.uint8
    assert np.array_equal(first.labels, draw_discs(0)[1])
    assert first.image.min() == 0 and first.image.max() == 255
    drawn = {id(source.draw(RNG(seed))) for seed in range(30)}
    assert len(drawn) == 3


def test_a_stack_is_read_slice_by_slice(tmp_path: Path) -> None:
    labels = np.zeros((4, 20, 30), np.uint16)
    labels[1:, 5:10, 5:10] = 7
    image = np.random.default_rng(0).integers(0, 900, (4, 20, 30), np.uint16)
    source = FolderSource(write_stack(tmp_path / "stack", image, labels))
    assert len(source) == 3  # the first slice has no object
    assert [len(file) for file in source.files] == [3]


def test_channels_of_a_stack(tmp_path: Path) -> None:
    labels = np.ones((3, 20, 30), np.uint8)
    for name, shape in {"last": (3, 20, 30, 2), "middle": (3, 2, 20, 30)}.items():
        image = np.random.default_rng(0).random(shape, dtype=np.float32)
        source = FolderSource(write_stack(tmp_path / name, image, labels))
        assert [each.image.shape for each in source] == [(3, 20, 30)] * 3


def test_images_without_labels_are_counted(write_set: WriteSet) -> None:
    folder = write_set(count=3)
    (folder / "labels" / "1.png").unlink()
    source = FolderSource(folder)
    assert len(source) == 2 and source.unlabelled == 1


def test_no_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images/ and labels/ folders"):
        FolderSource(tmp_path)


def test_an_empty_folder_is_refused(write_set: WriteSet) -> None:
    with pytest.raises(DataError, match="No image in"):
        FolderSource(write_set(count=0))


def test_labels_of_other_names_are_refused(write_set: WriteSet) -> None:
    folder = write_set(count=1)
    (folder / "labels" / "0.png").rename(folder / "labels" / "zero.png")
    with pytest.raises(DataError, match="file of the same name"):
        FolderSource(folder)


def test_labels_without_an_object_are_refused(write_set: WriteSet) -> None:
    folder = write_set(count=1)
    imageio.imwrite(folder / "labels" / "0.png", np.zeros((96, 96), np.uint8))
    with pytest.raises(DataError, match="ids above 0"):
        FolderSource(folder)


def test_labels_of_another_shape_are_refused(write_set: WriteSet) -> None:
    folder = write_set(count=1)
    imageio.imwrite(folder / "labels" / "0.png", np.ones((96, 90), np.uint8))
    with pytest.raises(DataError, match=r"\(96, 90\).*\(96, 96\)"):
        FolderSource(folder)


def test_a_damaged_image_is_named(write_set: WriteSet) -> None:
    folder = write_set(count=1)
    (folder / "images" / "0.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        FolderSource(folder)


def test_synthetic_scenes_have_objects() -> None:
    scene = SyntheticSource(shape=(64, 80)).draw(RNG(0))
    assert scene.image.shape == (3, 64, 80) and scene.labels.any()


def test_a_mix_draws_by_weight(discs: DiscSource) -> None:
    class Never:
        def draw(self, rng: np.random.Generator) -> None:
            raise AssertionError

    mixed = MixedSource([discs, Never()], [2, 0])  # type: ignore[list-item]
    assert mixed.shares.tolist() == [1, 0]
    assert all(mixed.draw(RNG(seed)).labels.any() for seed in range(5))


def test_a_split_is_by_image_and_the_same_for_a_seed(write_set: WriteSet) -> None:
    sets = [FolderSource(write_set("one", 5)), FolderSource(write_set("two", 10))]
    kept, held_back = split(sets, 0.2, seed=0)
    assert [len(each) for each in kept] == [4, 8] and len(held_back) == 3
    held = {id(each) for each in held_back}
    assert held.isdisjoint(id(each) for source in kept for each in source)
    assert held == {id(each) for each in split(sets, 0.2, seed=0)[1]}
    others = [split(sets, 0.2, seed=seed)[1] for seed in range(1, 6)]
    assert any(held != {id(each) for each in other} for other in others)


def test_one_image_of_two_is_held_back_but_never_the_only_one(
    write_set: WriteSet,
) -> None:
    pair, single = FolderSource(write_set("a", 2)), FolderSource(write_set("b", 1))
    kept, held_back = split([single, pair], 0.1, seed=0)
    assert [len(each) for each in kept] == [1, 1] and len(held_back) == 1
    kept, held_back = split([single], 0.5, seed=0)
    assert len(kept[0]) == 1 and not held_back
    assert not split([pair], 0.0, seed=0)[1]


def test_of_a_single_stack_the_last_slices_are_held_back(tmp_path: Path) -> None:
    labels = np.ones((5, 8, 9), np.uint8)
    image = np.arange(5 * 72, dtype=np.uint16).reshape(5, 8, 9)
    source = FolderSource(write_stack(tmp_path / "stack", image, labels))
    kept, held_back = split([source], 0.4, seed=0)
    assert list(kept[0]) == source.files[0][:3] and held_back == source.files[0][3:]


def test_sets_of_a_recipe(write_set: WriteSet, tmp_path: Path) -> None:
    for name in ("cells", "grains", "other"):
        write_set(f"data/{name}", 4)
    recipe = Recipe(
        synthetic=0.25,
        sets=("cells", "grains", "worms"),
        set_weights={"cells": 7},
        incomplete=("grains",),
    )
    data = open_data([tmp_path / "data"], recipe)
    assert data.counts == {"cells": 4, "grains": 4} and data.missing == ("worms",)
    assert isinstance(data.source, MixedSource)
    # 7 and the root of 4, and a quarter of all for synthetic scenes.
    assert data.source.shares.tolist() == pytest.approx([7 / 12, 2 / 12, 3 / 12])
    complete = [source.draw(RNG(0)).complete for source in data.source.sources[:2]]
    assert complete == [True, False]
    with pytest.raises(DataError, match="The recipe is for the data sets worms"):
        open_data([tmp_path / "data"], replace(recipe, sets=("worms",)))


def test_a_set_given_twice_is_refused(write_set: WriteSet) -> None:
    folder = write_set()
    with pytest.raises(DataError, match="two data sets named discs"):
        open_data([folder, folder.parent], Recipe())


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="is no data set"):
            open_data([path], Recipe())


def stack_of_cells() -> tuple[np.ndarray, np.ndarray]:
    """A volume (4, 20, 30) with a cell in slices 1 to 3."""
    labels = np.zeros((4, 20, 30), np.uint16)
    labels[1:, 5:10, 5:10] = 7
    return np.random.default_rng(0).integers(0, 900, (4, 20, 30), np.uint16), labels


def test_a_stack_is_sliced_along_any_axis(tmp_path: Path) -> None:
    image, labels = stack_of_cells()
    folder = write_stack(tmp_path / "stack", image, labels)
    shapes = {0: [(20, 30)] * 3, 1: [(4, 30)] * 5, 2: [(4, 20)] * 5}
    for axis, wanted in shapes.items():
        source = FolderSource(folder, reading=Reading(axes=(axis,)))
        assert [each.labels.shape for each in source] == wanted
    every = FolderSource(folder, reading=Reading(axes=(0, 1, 2)))
    assert [each.labels.shape for each in every] == [
        shape for wanted in shapes.values() for shape in wanted
    ]
    sideways = list(every)[3]
    assert np.array_equal(sideways.labels, labels[:, 5])
    assert np.array_equal(sideways.image[0], normalise(image[:, 5])[0])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("axis", [0, 2])
def test_what_memory_cannot_hold_is_read_when_drawn(
    tmp_path: Path, compression: str | None, axis: int
) -> None:
    image, labels = stack_of_cells()
    folder = tmp_path / "stack"
    for kind, array in (("images", np.stack([image, image])), ("labels", labels)):
        (folder / kind).mkdir(parents=True)
        colours = np.moveaxis(array, 0, -1) if kind == "images" else array
        path = folder / kind / "stack.tif"
        tifffile.imwrite(path, colours, compression=compression, **GREY)
    size = 7 * labels.size / labels.shape[axis] / 1e9
    reading = Reading(axes=(axis,), memory=1.5 * size)
    lazy = FolderSource(folder, reading=reading)
    whole = FolderSource(folder, reading=Reading(axes=(axis,)))
    kinds = [type(each) for each in lazy.files[0]]
    assert kinds == [TrainingImage] + [StoredImage] * (len(whole) - 1)
    for one, other in zip(lazy, whole, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.labels, other.labels)
    drawn = [each.draw(RNG(3)).labels for each in (lazy, whole)]
    assert np.array_equal(*drawn)


def test_maps_are_not_read_whole(tmp_path: Path) -> None:
    image, labels = stack_of_cells()
    for suffix in ("npy", "tif"):
        path = tmp_path / f"stack.{suffix}"
        np.save(path, image) if suffix == "npy" else tifffile.imwrite(
            path, image, **GREY
        )
        mapped = map_array(path)
        assert isinstance(mapped, np.memmap) and np.array_equal(mapped, image)
    tifffile.imwrite(tmp_path / "packed.tif", labels, compression="zlib", **GREY)
    assert np.array_equal(map_array(tmp_path / "packed.tif"), labels)
    (tmp_path / "bad.tif").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        map_array(tmp_path / "bad.tif")


def test_slices_that_cross_cannot_be_held_back(tmp_path: Path) -> None:
    folder = write_stack(tmp_path / "stack", *stack_of_cells())
    reading = Reading(axes=(0, 2))
    recipe = Recipe(validation=0.2, synthetic=0.0)
    with pytest.raises(DataError, match=r"cross each other.*--validation 0"):
        open_data([folder], recipe, reading)
    data = open_data([folder], replace(recipe, validation=0.0), reading)
    assert data.counts == {"stack": 8} and not data.held_back


def test_images_are_normalised_as_the_model_wants_them(write_set: WriteSet) -> None:
    folder = write_set(count=1)
    as_is = np.asarray(imageio.imread(folder / "images" / "0.png"))
    sam = next(iter(FolderSource(folder, reading=Reading("sam"))))
    assert np.array_equal(sam.image[1], as_is)
    stretched = next(iter(FolderSource(folder)))
    assert stretched.image.min() == 0 and stretched.image.max() == 255
