"""The embeddings of a volume's slices, made at their first use and kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume_denoising import NoisySlices
from napari_sam.inference.volume_source import (
    VolumeLike,
    VolumeSource,
    volume_limits,
)
from napari_sam.inference.volume_views import first_level

# Features that are kept at a time, in bytes.
CACHE_BYTES = 384_000_000


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice as the model sees it.

    Attributes
    ----------
    embedding : ImageEmbedding
    brightness : ndarray of float32, shape (rows, columns)
        Mean of the channels after scaling, in 0..1.
    colours : ndarray of uint8, shape (rows, columns, 3), or None
        None for a grey image.
    level : int or None
        Of the image's pyramid, at which the slice was encoded; None without a pyramid.
    """

    embedding: ImageEmbedding
    brightness: NDArray[np.float32]
    colours: NDArray[np.uint8] | None = None
    level: int | None = None


class VolumePlanes:
    """A volume whose slices are embedded as they are needed.

    At most ``cache_bytes`` of features are kept, those used last, so that the memory
    needed does not depend on the number of slices. Keep one of these to propagate and
    correct again without embedding again.

    Parameters
    ----------
    predictor : SamPredictor
        Embeds the slices; its own image is left alone.
    volume : array-like
        See `VolumeSource`.
    axis : int
        The axis to walk along.
    channel_axis : int, optional
        Axis of the volume's channels.
    contrast_limits : array_like, optional
        Values shown as black and white in all slices; read from the volume by default.
    cache_bytes : int
    denoise : bool
        Whether slices of a noisy volume are averaged with their neighbours; not along
        time, where things move. See `napari_sam.inference.volume_denoising`.

    Raises
    ------
    ImageError
        If the axes do not fit the volume.
    """

    def __init__(
        self,
        predictor: SamPredictor,
        volume: VolumeLike,
        *,
        axis: int = 0,
        channel_axis: int | None = None,
        contrast_limits: ArrayLike | None = None,
        cache_bytes: int = CACHE_BYTES,
        denoise: bool = True,
    ) -> None:
        self.source = VolumeSource(volume, axis, channel_axis)
        self._slices = NoisySlices(self.source) if denoise else self.source
        self._predictor = predictor
        self._given = contrast_limits
        self._limits: ArrayLike | None = None
        self._has_limits = False
        self._budget = cache_bytes
        self._kept: OrderedDict[int, Plane] = OrderedDict()
        self.encoded = 0

    def prepare(self, around: Sequence[int]) -> None:
        """Settle the contrast, from slices spread over the volume and from these."""
        if not self._has_limits:
            config = self._predictor.model.config
            kind = config.normalisation if config else "pocket"
            self._limits = volume_limits(
                self.source, kind, self._given, around, self._slices.read
            )
            self._has_limits = True

    def get(self, index: int) -> Plane:
        """Return one slice, embedding it if it is not kept.

        Parameters
        ----------
        index : int
        """
        if index not in self._kept:
            self._trim()
            self._kept[index] = self._embed(index)
            self.encoded += 1
        self._kept.move_to_end(index)
        return self._kept[index]

    def read(self, index: int) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return a slice as the model is to see it, and how `set_image` reads it.

        It is as it is stored, or averaged where the volume is noisy.

        Parameters
        ----------
        index : int
        """
        self.prepare([index])
        settings = {
            "channel_axis": self.source.channel_axis,
            "contrast_limits": self._limits,
        }
        return self._slices.read(index), settings

    def _embed(self, index: int) -> Plane:
        image, settings = self.read(index)
        pixels = self._predictor.preprocess(image, **settings)
        scaled = pixels / max(1.0, float(pixels.max()))
        embedding = self._predictor.framing.encode(pixels)
        brightness, level = scaled.mean(axis=0), first_level(embedding)
        return Plane(embedding, brightness, _colours(scaled), level)

    def _trim(self) -> None:
        """Forget slices until a further one as large as the largest fits."""
        sizes = {n: sum(_sizes(plane)) for n, plane in self._kept.items()}
        room = self._budget - max(sizes.values(), default=0)
        while self._kept and sum(sizes.values()) > room:
            del sizes[self._kept.popitem(last=False)[0]]


def _colours(pixels: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Pixels (3, rows, columns) of 0..1 as uint8, channels last; None if all grey."""
    if not np.ptp(pixels, axis=0).any():
        return None
    return np.ascontiguousarray((pixels * 255).astype(np.uint8).transpose(1, 2, 0))


def _sizes(value: Any) -> Iterator[int]:
    """Bytes of all arrays in an embedding, whatever its kind."""
    if isinstance(value, torch.Tensor):
        yield value.numel() * value.element_size()
    elif isinstance(value, np.ndarray):
        yield value.nbytes
    elif isinstance(value, Mapping):
        for each in list(value.values()):
            yield from _sizes(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _sizes(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _sizes(getattr(value, each.name))
