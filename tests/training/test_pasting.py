"""Objects of one image in another."""

from __future__ import annotations

import numpy as np

from napari_sam.training.datasets import ListSource
from napari_sam.training.pasting import PastingSource, paste_object
from napari_sam.training.reading import TrainingImage

RNG = np.random.default_rng


def scene(value: int, background: int, box: tuple[slice, slice]) -> TrainingImage:
    labels = np.zeros((64, 80), np.int32)
    labels[box] = 5
    image = np.full((3, 64, 80), background, np.uint8)
    image[:, labels > 0] = value
    return TrainingImage(image, labels, complete=False)


BASE = scene(200, 10, np.s_[0:12, 0:12])
GIVER = scene(120, 60, np.s_[20:40, 30:60])


def test_a_pasted_object_has_its_pixels_and_an_id_of_its_own() -> None:
    sizes = set()
    for seed in range(20):
        pasted = paste_object(BASE, GIVER, RNG(seed))
        new = pasted.labels == 6
        sizes.add(int(new.sum()))
        inside = pasted.image[:, new].astype(int)
        # The blurred edge mixes in the background, the middle is the object's own.
        assert abs(np.median(inside) - 120) <= 1
        far = ~new & (pasted.labels != 5)
        assert np.median(pasted.image[:, far]) == 10
        assert not pasted.complete
    assert len(sizes) > 10  # scaled, and cut by the image's edge


def test_what_is_pasted_covers_what_is_under_it() -> None:
    whole = scene(200, 10, np.s_[:, :])
    pasted = paste_object(whole, GIVER, RNG(0))
    assert set(np.unique(pasted.labels)) == {5, 6}


def test_neither_image_is_changed() -> None:
    before = BASE.image.copy(), BASE.labels.copy(), GIVER.image.copy()
    paste_object(BASE, GIVER, RNG(1))
    after = BASE.image, BASE.labels, GIVER.image
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_only_a_share_gets_an_object() -> None:
    source = PastingSource(ListSource([BASE, GIVER]), 0.3)
    counts = [len(np.unique(source.draw(RNG(seed)).labels)) for seed in range(200)]
    assert 0.15 < np.mean([count > 2 for count in counts]) < 0.4


def test_draws_depend_on_the_seed_alone() -> None:
    source = PastingSource(ListSource([BASE, GIVER]), 1.0)
    first, again = (source.draw(RNG(4)) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
