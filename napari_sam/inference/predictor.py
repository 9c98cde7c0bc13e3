"""`SamPredictor`: set an image, ask for masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import ImageError, ModelError, PromptError
from napari_sam.inference.framing import Framing, ImageEmbedding, LowResMasks
from napari_sam.inference.preprocess import to_model_image
from napari_sam.inference.prompts import check_prompts, prompt_set
from napari_sam.nn.registry import Normalisation, PretrainedConfig
from napari_sam.structures import MaskPrediction, MaskPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket
    from napari_sam.nn.sam import Sam


class SamPredictor:
    """Masks of one image from prompts.

    Setting an image runs the image encoder, which is the slow part; each prediction
    after it is fast. `predict` only reads the embedding, so several threads may call
    it at once; setting another image replaces the embedding in one step.

    Parameters
    ----------
    model : Sam or Pocket
        From `create_model`.

    Examples
    --------
    >>> predictor = SamPredictor(create_model("pocket"))  # doctest: +SKIP
    >>> predictor.set_image(image)  # doctest: +SKIP
    >>> predictor.predict(points=[(120, 88)]).masks.shape  # doctest: +SKIP
    (3, 512, 512)
    """

    def __init__(self, model: Sam | Pocket) -> None:
        self._model = model
        self._config: PretrainedConfig = _config(model)
        self._framing = _framing(model)
        self._embedding: ImageEmbedding | None = None

    @property
    def model(self) -> Sam | Pocket:
        """The model that predicts."""
        return self._model

    @property
    def framing(self) -> Framing:
        """How images and prompts reach the model."""
        return self._framing

    @property
    def embedding(self) -> ImageEmbedding:
        """The current image's embedding; keep it to return to that image later.

        Raises
        ------
        ImageError
            If there is no image yet.
        """
        if self._embedding is None:
            raise ImageError("There is no image yet: call set_image first.")
        return self._embedding

    def set_embedding(self, embedding: ImageEmbedding) -> None:
        """Return to an image whose embedding was kept.

        Parameters
        ----------
        embedding : ImageEmbedding
            Made by the same model.

        Raises
        ------
        ModelError
            If another model made it.
        """
        if embedding.model_name != self._model.name:
            raise ModelError(
                f"The embedding is of the model {embedding.model_name!r}, not of "
                f"{self._model.name!r}: set the image again."
            )
        self._embedding = embedding

    def set_image(
        self,
        image: ArrayLike,
        *,
        channel_axis: int | None = None,
        channel_map: Sequence[int | None] | None = None,
        contrast_limits: ArrayLike | None = None,
        gamma: float = 1.0,
    ) -> None:
        """Embed an image.

        Parameters
        ----------
        image : array_like
            (H, W), (H, W, 3), (H, W, 4), or with channels along ``channel_axis``; any
            real dtype. See `to_model_image`.
        channel_axis : int, optional
            Axis of the channels.
        channel_map : sequence of int or None, optional
            Which channel becomes red, green and blue.
        contrast_limits : array_like, shape (2,) or (channels, 2), optional
            Values shown as black and white, instead of the model's own scaling.
        gamma : float
            Exponent after the contrast limits.

        Raises
        ------
        ImageError
            If the array cannot be read as an image.
        """
        pixels = self.preprocess(
            image,
            channel_axis=channel_axis,
            channel_map=channel_map,
            contrast_limits=contrast_limits,
            gamma=gamma,
        )
        self._embedding = self._framing.encode(pixels)

    def preprocess(
        self,
        image: ArrayLike,
        *,
        channel_axis: int | None = None,
        channel_map: Sequence[int | None] | None = None,
        contrast_limits: ArrayLike | None = None,
        gamma: float = 1.0,
    ) -> NDArray[np.float32]:
        """Scale an image as the model wants it, (3, H, W), without embedding it.

        Parameters and errors are those of `set_image`.
        """
        return to_model_image(
            image,
            normalisation=self._config.normalisation,
            channel_axis=channel_axis,
            channel_map=channel_map,
            contrast_limits=contrast_limits,
            gamma=gamma,
        )

    def predict(
        self,
        prompts: PromptSet | None = None,
        *,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | MaskPrompt | None = None,
        multimask_output: bool = True,
    ) -> MaskPrediction:
        """Predict the masks of one object.

        Parameters
        ----------
        prompts : PromptSet, optional
            All prompts of the object; or give the keywords below instead.
        points : array_like, shape (N, 2), optional
            (row, col) of clicked pixels in the full image.
        point_labels : array_like, shape (N,), optional
            1 on the object, 0 off it; all 1 by default.
        box : array_like, shape (4,), optional
            (row0, col0, row1, col1), the second corner exclusive; clipped to the image.
        mask_input : array_like or MaskPrompt, optional
            Bool (H, W) mask to refine, or logits of an earlier prediction: (h, w) or
            (1, h, w) as in ``low_res_masks``, or `MaskPrediction.mask_prompt`.
        multimask_output : bool
            Three candidates, for prompts as ambiguous as one click; or one.

        Returns
        -------
        MaskPrediction
            Of 3 or 1 masks.

        Raises
        ------
        PromptError
            If a prompt cannot be used on this image or with this model.
        ImageError
            If there is no image yet.
        """
        given = prompt_set(
            points=points, point_labels=point_labels, box=box, mask_input=mask_input
        )
        if prompts is None:
            prompts = given
        elif not given.is_empty:
            raise PromptError("Give a PromptSet or the keywords, not both.")
        return self.predict_batch([prompts], multimask_output)[0]

    def predict_steps(
        self, prompts: PromptSet, multimask_output: bool = True, *, quick: bool = False
    ) -> Iterator[MaskPrediction]:
        """Predict the masks of one object for someone who waits.

        Parameters
        ----------
        prompts : PromptSet
        multimask_output : bool
        quick : bool
            A single answer, and rather a coarse one than that more of the image is
            encoded for it, as for a preview under a moving pointer.

        Yields
        ------
        MaskPrediction
            As soon as there is one, and again where looking at other scales gives a
            better one; the last is what `predict` returns.

        Raises
        ------
        PromptError, ImageError
            As `predict`.
        """
        embedding = self.embedding
        checked = check_prompts(prompts, embedding, self._config.prompts)
        yield from self._framing.decode_steps(
            embedding, checked, multimask_output, quick
        )

    def predict_batch(
        self, prompts: Sequence[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        """Predict the masks of several objects of the image.

        The same as calling `predict` for each, but faster; the memory needed for the
        computation does not grow with the number of objects, only the result does.

        Parameters
        ----------
        prompts : sequence of PromptSet
            One object each.
        multimask_output : bool
            Three candidates an object, or one.

        Returns
        -------
        list of MaskPrediction
            In the order of ``prompts``.

        Raises
        ------
        PromptError, ImageError
            As `predict`.
        """
        embedding = self.embedding
        accepted = self._config.prompts
        checked = [check_prompts(each, embedding, accepted) for each in prompts]
        return self._framing.decode(embedding, checked, multimask_output)

    def predict_levels(self, prompts: PromptSet) -> list[LowResMasks]:
        """Predict all that one object's prompts may mean, at every scale.

        Parameters
        ----------
        prompts : PromptSet

        Returns
        -------
        list of LowResMasks
            To be drawn by `Framing.draw`.

        Raises
        ------
        PromptError, ImageError
            As `predict`.
        """
        embedding = self.embedding
        checked = check_prompts(prompts, embedding, self._config.prompts)
        return self._framing.decode_levels(embedding, checked)


def _config(model: Sam | Pocket) -> PretrainedConfig:
    """Return a model's conventions; its family's if it is not of `create_model`."""
    known: PretrainedConfig | None = getattr(model, "config", None)
    if known is not None:
        return known
    family: Normalisation = "pocket" if model.frame_kind == "pyramid" else "sam"
    return PretrainedConfig(url=None, filename="", normalisation=family)


def _framing(model: Sam | Pocket) -> Framing:
    """Return the scale policy that fits a model."""
    if model.frame_kind == "pyramid":
        from napari_sam.inference.pyramid import PyramidFraming

        return PyramidFraming(cast("Pocket", model))
    from napari_sam.inference.fixed_frame import FixedFraming

    return FixedFraming(cast("Sam", model))
