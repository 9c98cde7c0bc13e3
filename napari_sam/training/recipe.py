"""All settings of a training run, in one frozen object that a JSON file can hold."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_sam.errors import DataError
from napari_sam.training.augment import AugmentConfig
from napari_sam.training.prompts import PromptConfig


@dataclass(frozen=True)
class Recipe:
    """How to fit a model.

    Attributes
    ----------
    seed : int
    steps : int
        Length of the learning-rate schedule; `hours` may end it sooner.
    images, objects : int
        Windows a step, and prompted objects a window.
    rounds : tuple of float
        Chances of one, two, three ... prompt rounds in a step.
    learning_rate, weight_decay : float
    betas : tuple of float
        Of AdamW.
    warmup : int
        Steps over which the learning rate rises.
    clip : float
        Largest gradient norm.
    ema : float
        Decay of the averaged weights that are saved.
    iou_weight, dense_weight : float
        Weights of the predicted-IoU loss and of the dense head's.
    background : float
        Chance that an object is replaced by a click on background, which should get
        low confidence.
    synthetic : float
        Share of windows from synthetic scenes.
    incomplete : tuple of str
        Names of data sets whose background may hold unlabelled objects.
    bfloat16 : bool
        Autocast the forward pass.
    augment : AugmentConfig
    prompts : PromptConfig
    """

    seed: int = 0
    steps: int = 6000
    images: int = 6
    objects: int = 4
    rounds: tuple[float, ...] = (0.15, 0.5, 0.35)
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: int = 150
    clip: float = 1.0
    ema: float = 0.998
    iou_weight: float = 4.0
    dense_weight: float = 0.3
    background: float = 0.04
    synthetic: float = 0.35
    incomplete: tuple[str, ...] = ()
    bfloat16: bool = True
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)

    def save(self, path: Path) -> None:
        """Write the recipe as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe; settings that the file leaves out keep their defaults.

        Raises
        ------
        DataError
            Where the file is no JSON object, or names an unknown setting.
        """
        try:
            values = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise DataError(f"{path} is not a readable recipe: {error}") from error
        recipe: Recipe = _fill(cls, values)
        return recipe


def _fill(kind: type, values: dict[str, Any]) -> Any:
    known = {item.name: item for item in fields(kind)}
    unknown = set(values) - set(known)
    if unknown:
        raise DataError(f"A recipe has no setting {sorted(unknown)}; remove it.")
    nested = {"augment": AugmentConfig, "prompts": PromptConfig}
    ready = {
        name: _fill(nested[name], value) if name in nested else _frozen(value)
        for name, value in values.items()
    }
    return kind(**ready)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
