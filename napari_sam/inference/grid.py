"""Everything in an image, by asking a SAM at every point of a grid.

The method, its parameters and what it returns are those of Kirillov et al., "Segment
Anything" (2023), appendix B. The order of the work is not: candidates are sifted on the
model's coarse grid, and only those that pass are drawn in the image, in their boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import ImageError, ModelError
from napari_sam.geometry import encode_rle
from napari_sam.inference.crops import Crop, make_crops, point_grid
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.grid_candidates import (
    Found,
    Sieve,
    keep_apart,
    remove_small_regions,
)
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.run_lengths import (
    RunLengthEncoder,
    as_json,
    decode_mask,
    mask_area,
)
from napari_sam.structures import PointPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket
    from napari_sam.nn.sam import Sam

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]
Progress = Callable[[int, int | None], object]


class AutomaticMaskGenerator:
    """Masks of everything in an image, overlapping ones too.

    Parameters
    ----------
    model : Sam or Pocket
        From `create_model`.
    points_per_side : int or None
        Points along one side of the image; None if ``point_grids`` is given.
    points_per_batch : int
        Points decoded before the next report of progress.
    pred_iou_thresh : float
        A mask needs a higher predicted IoU.
    stability_score_thresh : float
        And at least this IoU between its cuts above and below the threshold.
    stability_score_offset : float
        How far above and below, in logits.
    box_nms_thresh : float
        Of two masks whose boxes overlap by a higher IoU the better one is kept.
    crop_n_layers : int
        Look again in crops: 4 in the first layer, 16 in the second, ...
    crop_nms_thresh : float
        As ``box_nms_thresh``, between crops; the mask of the smaller crop is kept.
    crop_overlap_ratio : float
        Overlap of crops, as a fraction of the image's short side.
    crop_n_points_downscale_factor : int
        Each layer has so many times fewer points along a side.
    point_grids : sequence of ndarray, shape (N, 2), optional
        (x, y) in 0..1, for each layer of crops, in place of regular grids.
    min_mask_region_area : int
        Holes and separate parts of fewer pixels are removed.
    output_mode : {"binary_mask", "uncompressed_rle", "coco_rle"}
        What ``segmentation`` is: an (H, W) bool array, run lengths as a list, or
        run lengths as text.

    Raises
    ------
    ModelError
        If the parameters contradict each other.
    """

    def __init__(
        self,
        model: Sam | Pocket,
        points_per_side: int | None = 32,
        points_per_batch: int = 32,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[ArrayLike] | None = None,
        min_mask_region_area: int = 0,
        output_mode: OutputMode = "binary_mask",
    ) -> None:
        if output_mode not in get_args(OutputMode):
            known = ", ".join(get_args(OutputMode))
            raise ModelError(f"There is no output mode {output_mode!r}: use {known}.")
        self._predictor = SamPredictor(model)
        self._grids = _grids(
            points_per_side, crop_n_layers, crop_n_points_downscale_factor, point_grids
        )
        self._points_per_batch = points_per_batch
        self._thresholds = (pred_iou_thresh, stability_score_thresh)
        self._offset = stability_score_offset
        self._box_nms_thresh = box_nms_thresh
        self._crop_n_layers = crop_n_layers
        self._crop_nms_thresh = crop_nms_thresh
        self._crop_overlap_ratio = crop_overlap_ratio
        self._min_mask_region_area = min_mask_region_area
        self._output_mode = output_mode

    def generate(
        self,
        image: ArrayLike,
        *,
        channel_axis: int | None = None,
        contrast_limits: ArrayLike | None = None,
        embedding: ImageEmbedding | None = None,
        progress: Progress | None = None,
    ) -> list[dict[str, Any]]:
        """Find the masks of an image.

        Parameters
        ----------
        image : array_like
            As for `SamPredictor.set_image`.
        channel_axis, contrast_limits : optional
            As for `SamPredictor.set_image`.
        embedding : ImageEmbedding, optional
            Of the whole image, if it was made before.
        progress : callable, optional
            Called with the points done and their total; what it raises ends the work.

        Returns
        -------
        list of dict
            For each mask, best first: ``segmentation``; ``area``; ``bbox`` [x, y,
            width, height] from the first to the last pixel, so that a single pixel
            has no width; ``predicted_iou``; ``point_coords`` [[x, y]];
            ``stability_score``; ``crop_box`` [x, y, width, height].

        Raises
        ------
        ImageError
            If the array cannot be read as an image.
        """
        pixels = self._predictor.preprocess(
            image, channel_axis=channel_axis, contrast_limits=contrast_limits
        )
        found = self.find(pixels, embedding=embedding, progress=progress)
        return [self._describe(each) for each in found]

    def find(
        self,
        pixels: NDArray[np.float32],
        *,
        embedding: ImageEmbedding | None = None,
        progress: Progress | None = None,
    ) -> list[Found]:
        """Find the masks of a preprocessed image, before they are described.

        Parameters
        ----------
        pixels : ndarray of float32, shape (3, H, W)
            From `SamPredictor.preprocess`.
        embedding, progress : optional
            As for `generate`.
        """
        shape = (pixels.shape[1], pixels.shape[2])
        if embedding is not None and embedding.image_shape != shape:
            raise ImageError(
                f"The embedding is of an image of the shape {embedding.image_shape}, "
                f"not {shape}: leave it out or give the same image."
            )
        encode = self._predictor.framing.encode
        encoder = RunLengthEncoder(shape)
        crops = make_crops(shape, self._crop_n_layers, self._crop_overlap_ratio)
        sizes = [len(self._grids[crop.layer]) for crop in crops]
        found: list[Found] = []
        for index, crop in enumerate(crops):
            row0, col0, row1, col1 = crop.box
            if embedding is None or index > 0:
                embedding = encode(pixels[:, row0:row1, col0:col1])
            report = _shifted(progress, sum(sizes[:index]), sum(sizes))
            found += self._find_in_crop(embedding, crop, encoder, report)
        if len(crops) > 1:
            found = self._merge_crops(found)
        return self._cleaned(found, encoder)

    def find_in(
        self, embedding: ImageEmbedding, *, progress: Progress | None = None
    ) -> list[Found]:
        """Find the masks of an embedded image.

        Parameters
        ----------
        embedding : ImageEmbedding
        progress : optional
            As for `generate`.

        Raises
        ------
        ModelError
            If crops were asked for: an embedding has no pixels to cut them from.
        """
        if self._crop_n_layers:
            raise ModelError(
                "Crops are cut from the image, and here is only its embedding: call "
                "generate with the image, or set crop_n_layers to 0."
            )
        shape = embedding.image_shape
        encoder = RunLengthEncoder(shape)
        report = _shifted(progress, 0, len(self._grids[0]))
        found = self._find_in_crop(embedding, Crop((0, 0, *shape), 0), encoder, report)
        return self._cleaned(found, encoder)

    def _cleaned(self, found: list[Found], encoder: RunLengthEncoder) -> list[Found]:
        area = self._min_mask_region_area
        if area <= 0:
            return found
        threshold = max(self._box_nms_thresh, self._crop_nms_thresh)
        return remove_small_regions(found, encoder, area, threshold)

    def _find_in_crop(
        self,
        embedding: ImageEmbedding,
        crop: Crop,
        encoder: RunLengthEncoder,
        report: Callable[[int], None],
    ) -> list[Found]:
        framing = self._predictor.framing
        sieve = Sieve(framing, embedding, crop, encoder, self._thresholds, self._offset)
        points = self._grids[crop.layer][:, ::-1] * crop.shape
        found: list[Found] = []
        for start in range(0, len(points), self._points_per_batch):
            report(start)
            asked = [
                (float(row), float(col))
                for row, col in points[start : start + self._points_per_batch]
            ]
            prompts = [PromptSet(points=(PointPrompt(each),)) for each in asked]
            answers = framing.decode_low_res(embedding, prompts, True)
            found += sieve.sift(asked, answers)
        report(len(points))
        scores = np.array([each.predicted_iou for each in found])
        kept = keep_apart(_boxes(found), scores, self._box_nms_thresh)
        return [found[index] for index in kept]

    def _merge_crops(self, found: list[Found]) -> list[Found]:
        row0, col0, row1, col1 = (
            np.array([each.crop for each in found]).reshape(-1, 4).T
        )
        scores = 1 / ((row1 - row0) * (col1 - col0))
        kept = keep_apart(_boxes(found), scores, self._crop_nms_thresh)
        return [found[index] for index in kept]

    def _describe(self, found: Found) -> dict[str, Any]:
        segmentation: object = as_json(found.runs)
        if self._output_mode == "binary_mask":
            segmentation = decode_mask(found.runs)
        elif self._output_mode == "uncompressed_rle":
            counts = encode_rle(decode_mask(found.runs))
            segmentation = {"size": list(found.runs["size"]), "counts": counts}
        row, col = found.point
        return {
            "segmentation": segmentation,
            "area": mask_area(found.runs),
            "bbox": _as_xywh(found.box.tolist()),
            "predicted_iou": found.predicted_iou,
            "point_coords": [[col, row]],
            "stability_score": found.stability_score,
            "crop_box": _as_xywh(found.crop),
        }


def _shifted(
    progress: Progress | None, before: int, total: int
) -> Callable[[int], None]:
    """Report the points of one crop as part of those of all crops."""

    def report(done: int) -> None:
        if progress is not None:
            progress(before + done, total)

    return report


def _grids(
    points_per_side: int | None,
    layers: int,
    downscale: int,
    point_grids: Sequence[ArrayLike] | None,
) -> list[NDArray[np.float64]]:
    """Return the grid of each layer of crops."""
    if (points_per_side is None) == (point_grids is None):
        raise ModelError("Give either points_per_side or point_grids.")
    if point_grids is None:
        assert points_per_side is not None
        sides = [int(points_per_side / downscale**layer) for layer in range(layers + 1)]
        return [point_grid(side) for side in sides]
    grids = [np.asarray(each, np.float64).reshape(-1, 2) for each in point_grids]
    if len(grids) <= layers:
        raise ModelError(
            f"{layers} layers of crops need {layers + 1} point grids, not {len(grids)}."
        )
    return grids


def _boxes(found: Sequence[Found]) -> NDArray[np.int64]:
    return np.array([each.box for each in found], np.int64).reshape(-1, 4)


def _as_xywh(box: Sequence[int]) -> list[int]:
    row0, col0, row1, col1 = box
    return [col0, row0, col1 - col0, row1 - row0]
