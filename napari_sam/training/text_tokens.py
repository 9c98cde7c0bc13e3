"""Fit phrases as prompt tokens of a SAM, without a caption.

Segment Anything (Kirillov et al., 2023, appendix D.5) trains its decoder with the CLIP
image embedding of a mask's crop as prompt, and asks with the CLIP embedding of a
phrase. Here SAM stays as it is and only the projection learns, which is what helps most
(Zhang et al., "EVF-SAM", 2024). Its masks are those of all objects of one name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.errors import DataError, ModelError
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.labelled import LabelledImage
from napari_sam.inference.fixed_frame import FixedEmbedding
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.preprocess import to_model_image
from napari_sam.inference.text_vectors import crop_of
from napari_sam.structures import MaskRecord
from napari_sam.text.clip import Clip
from napari_sam.text.projector import Binding, TextProjection, save_projection
from napari_sam.training.losses import mask_loss

if TYPE_CHECKING:
    from napari_sam.nn.sam import ImageContext, Sam

# Objects of a smaller part of the image say little in a crop.
SMALLEST_SHARE = 2e-4
CROPS = 6


@dataclass(frozen=True)
class TokenRecipe:
    """How a projection is fitted.

    Attributes
    ----------
    steps : int
    images : int
        Of each data set, at most, evenly spread.
    learning_rate : float
    tokens : int
        Prompt tokens a phrase becomes.
    noise : float
        Spread added to a crop's vector: phrases lie beside crops, not on them.
    seed : int
    """

    steps: int = 300
    images: int = 40
    learning_rate: float = 1e-3
    tokens: int = 2
    noise: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class TokenResult:
    """How a fit went.

    Attributes
    ----------
    first_loss, last_loss : float
        Means over the first and the last tenth of the steps.
    """

    first_loss: float
    last_loss: float


@dataclass(frozen=True, eq=False)
class _Lesson:
    """An image, vectors of crops of its objects, and where the objects are."""

    context: ImageContext
    vectors: NDArray[np.float32]
    region: Tensor


def teach_tokens(
    predictor: SamPredictor,
    clip: Clip,
    paths: Sequence[Path],
    recipe: TokenRecipe,
    out: Path,
    progress: Callable[[int, int | None], object] | None = None,
) -> TokenResult:
    """Fit a projection and write it.

    Parameters
    ----------
    predictor : SamPredictor
        Of a SAM; its weights stay.
    clip : Clip
    paths : sequence of Path
        Data sets, each with objects of one name.
    recipe : TokenRecipe
    out : Path
    progress : callable, optional
        Called with the steps done and their number.

    Raises
    ------
    ModelError
        The model takes no tokens.
    DataError
        There is no object large enough.
    """
    model: Any = predictor.model
    if model.frame_kind != "fixed":
        raise ModelError(
            f"The model {model.name!r} reads words from its features and needs no "
            "tokens: run train-text without --tokens, or choose a SAM."
        )
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    lessons = _lessons(predictor, clip, paths, recipe, rng)
    projection = TextProjection(
        lessons[0].vectors.shape[1], model.prompt_encoder.embed_dim, recipe.tokens
    )
    losses = _fit(model, projection, lessons, recipe, rng, progress)
    binding = Binding(clip.identity, model.name, model.checkpoint_sha256 or "")
    save_projection(projection, binding, out)
    tenth = max(len(losses) // 10, 1)
    return TokenResult(float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:])))


def _fit(
    model: Sam,
    projection: TextProjection,
    lessons: Sequence[_Lesson],
    recipe: TokenRecipe,
    rng: np.random.Generator,
    progress: Callable[[int, int | None], object] | None,
) -> list[float]:
    model.requires_grad_(False)
    optimizer = torch.optim.AdamW(projection.parameters(), recipe.learning_rate)
    losses = []
    for step in range(recipe.steps):
        lesson = lessons[int(rng.integers(len(lessons)))]
        vector = lesson.vectors[int(rng.integers(len(lesson.vectors)))]
        shifted = vector + recipe.noise * rng.standard_normal(vector.shape)
        given = torch.from_numpy(shifted.astype(np.float32))[None]
        tokens = projection(functional.normalize(given, dim=-1))
        logits, _ = model.decode(lesson.context, text=tokens, multimask_output=False)
        height, width = lesson.region.shape
        loss = mask_loss(logits[0, 0, :height, :width], lesson.region)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step + 1, recipe.steps)
    return losses


def _lessons(
    predictor: SamPredictor,
    clip: Clip,
    paths: Sequence[Path],
    recipe: TokenRecipe,
    rng: np.random.Generator,
) -> list[_Lesson]:
    lessons = []
    for path in paths:
        for images in open_datasets(path):
            for image in images.limited(recipe.images):
                lesson = _lesson(predictor, clip, image, rng)
                if lesson is not None:
                    lessons.append(lesson)
    if not lessons:
        raise DataError("No labelled object is large enough to learn words from.")
    return lessons


def _lesson(
    predictor: SamPredictor, clip: Clip, image: LabelledImage, rng: np.random.Generator
) -> _Lesson | None:
    height, width = image.shape
    large = [t for t in image.targets if t.area >= SMALLEST_SHARE * height * width]
    if not large:
        return None
    pixels = to_model_image(
        image.image, normalisation="pocket", channel_axis=image.channel_axis
    )
    crops = []
    for index in rng.permutation(len(large))[:CROPS]:
        record = MaskRecord(large[index].mask, large[index].origin, 1.0, 1.0)
        enlargement = float(rng.uniform(1.0, 2.0))
        masked = bool(rng.random() < 0.5)
        crops.append(crop_of(pixels, record, masked=masked, enlargement=enlargement))
    predictor.set_image(image.image, channel_axis=image.channel_axis)
    embedding = predictor.embedding
    assert isinstance(embedding, FixedEmbedding)
    region = torch.from_numpy((image.labels() > 0).astype(np.float32))
    # SAM's logits have a quarter of the resized image's resolution.
    size = [max(side // 4, 1) for side in embedding.input_shape]
    small = functional.interpolate(region[None, None], size, mode="area")[0, 0]
    return _Lesson(embedding.context, clip.embed_crops(crops), (small > 0.5).float())
