"""What is left of a mask where its object fades, and what a correcting click means."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.inference.volume import VolumeSegmenter, clicks_in_volume
from napari_sam.inference.volume_clicks import best_without
from napari_sam.inference.volume_contrast import bulk_of, clearest_part, stand_out
from napari_sam.inference.volume_result import SliceMask
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.structures import Frame, MaskPrediction, MaskRecord, PromptSet

from .volume_fakes import BrightEmbedding, BrightFraming, BrightPredictor


class HaloFraming(BrightFraming):
    """Takes for bright what is a little brighter than the ground."""

    def _answer(
        self, embedding: BrightEmbedding, prompts: PromptSet
    ) -> tuple[NDArray[np.bool_], float]:
        raised = (embedding.pixels > 0.1).astype(np.float32)
        seen = BrightEmbedding(embedding.image_shape, "bright", raised)
        return super()._answer(seen, prompts)


def seen(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> SliceMask:
    return SliceMask(MaskRecord(mask, origin, 0.9, 0.9), 0.9)


def disc(
    shape: tuple[int, int], centre: tuple[int, int], radius: float
) -> NDArray[np.bool_]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    found: NDArray[np.bool_] = (
        (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2
    ) <= radius**2
    return found


def test_a_pixel_of_a_fading_mask_must_stand_out_itself() -> None:
    plane = np.full((40, 40), 0.2, np.float32)
    plane[disc((40, 40), (20, 20), 5)] = 0.5
    wide = seen(disc((40, 40), (20, 20), 10)[10:31, 10:31], (10, 10))
    part = clearest_part(wide, plane, 0.15)
    assert part is not None
    truth = disc((40, 40), (20, 20), 5)
    found = part.full((40, 40))
    assert (found & truth).sum() / (found | truth).sum() > 0.85
    assert clearest_part(wide, plane, 0.4) is None
    # A dark object the other way round.
    dark = clearest_part(wide, 1 - plane, -0.15)
    assert dark is not None
    assert (dark.full((40, 40)) == found).all()


def test_bulk_counts_how_wide_an_object_is_and_how_clear() -> None:
    plane = np.full((40, 40), 0.2, np.float32)
    plane[10:30, 10:30] = 0.6
    wide = seen(np.ones((20, 20), bool), (10, 10))
    contrast = stand_out(wide, plane)
    assert contrast == pytest.approx(0.4)
    assert bulk_of(wide, contrast, contrast) == pytest.approx(20 * 0.4)
    # What is dark is nothing of a bright object.
    assert bulk_of(wide, -contrast, contrast) == 0
    assert bulk_of(wide, 0.0, 0.0) == 400


def test_an_object_gets_narrower_where_it_fades() -> None:
    volume = np.full((9, 40, 40), 20, np.uint8)
    wide, narrow = disc((40, 40), (20, 20), 9), disc((40, 40), (20, 20), 4)
    volume[2:6, wide] = 220
    # A halo as bright as half of it, in which little is as bright as before.
    volume[6, wide], volume[6, narrow] = 60, 150
    predictor = BrightPredictor()
    predictor.framing = HaloFraming()
    halo = VolumeSegmenter(predictor)  # type: ignore[arg-type]
    click = clicks_in_volume([(4, 20, 20)])
    kept = halo.propagate(
        volume, click, settings=PropagationSettings(clarity=0.0, min_contrast=0.2)
    )
    cut = halo.propagate(
        volume, click, settings=PropagationSettings(clarity=0.3, min_contrast=0.2)
    )
    assert kept.objects[1].slices[6].area == wide.sum()
    assert cut.objects[1].slices[6].area < 0.6 * wide.sum()
    assert all(cut.objects[1].slices[n].area == wide.sum() for n in range(2, 6))


def test_a_click_means_what_is_like_the_object_in_a_slice_nearby() -> None:
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 2:18, 2:28] = True
    masks[1, 5:15, 5:14] = True
    masks[2, 8:10, 8:10] = True
    rating = np.array([0.9, 0.7, 0.4], np.float32)
    frame = Frame((0, 0), (1, 1), (20, 30))
    answer = MaskPrediction(masks, rating, rating, masks.astype(np.float32), frame)
    known = seen(np.ones((9, 9), bool), (6, 5))
    assert best_without(answer, []) == 0
    assert best_without(answer, [], known) == 1
