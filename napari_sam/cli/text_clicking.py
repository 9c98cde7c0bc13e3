"""The work of ``napari-sam segment --text --point``: a word for what a click shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from napari_sam.structures import MaskPrediction, PromptSet, TextPrompt
from napari_sam.text.phrases import parse_phrases

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.nn.pocket import Pocket
    from napari_sam.nn.sam import Sam


@dataclass(frozen=True)
class Name:
    """What the clicked objects are called.

    Attributes
    ----------
    phrase : str
    clip : str
    words : Path, optional
        See `TextSegmenter`.
    """

    phrase: str
    clip: str = "clip_pocket"
    words: Path | None = None

    @property
    def label(self) -> str:
        """Name of the class.

        Raises
        ------
        PromptError
            The phrase cannot be used.
        """
        return parse_phrases(self.phrase)[0].name


class NamedPredictor:
    """Asks for objects by clicks or boxes and by one name for all of them.

    Parameters
    ----------
    predictor : SamPredictor
    name : Name

    Raises
    ------
    ModelError, CheckpointError
        The CLIP or its words cannot be used.
    """

    def __init__(self, predictor: SamPredictor, name: Name) -> None:
        from napari_sam.inference.text_prompt import TextSegmenter

        self._name = name
        self._segmenter = TextSegmenter(
            predictor, name.clip, words=name.words, find=lambda _: []
        )

    @property
    def model(self) -> Sam | Pocket:
        """The model that predicts."""
        return self._segmenter.predictor.model

    def set_image(self, image: ArrayLike, **settings: Any) -> None:
        """Embed an image; see `SamPredictor.set_image`."""
        self._segmenter.set_image(image, **settings)

    def predict_batch(
        self, prompts: Sequence[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        """Predict each object's masks, rated by how well they answer to the name.

        Parameters
        ----------
        prompts : sequence of PromptSet
        multimask_output : bool
            Makes no difference: the name chooses among all masks.
        """
        text = TextPrompt(self._name.phrase)
        return [self._segmenter.predict(replace(each, text=text)) for each in prompts]
