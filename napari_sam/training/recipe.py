"""All settings of a training run, in one frozen object that a JSON file can hold."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from napari_sam.errors import DataError
from napari_sam.training.augment import AugmentConfig
from napari_sam.training.prompts import PromptConfig

RECIPES_FOLDER = Path(__file__).parent / "recipes"
RECIPES = ("finetune", "pocket", "sam_decoder", "sam_encoder")
PARTS = ("all", "decoder", "lora")
FRAMES = ("cut", "fixed", "whole")
COUNTS = (
    "steps",
    "images",
    "objects",
    "warmup",
    "validate_every",
    "patience",
    "lora_rank",
)
SHARES = ("synthetic", "validation")
# Settings that are lists of words.
NAMES = ("incomplete", "sets")


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
        Autocast the forward pass, where the CPU is faster so.
    parts : {"all", "decoder", "lora"}
        What is fitted: everything; prompt encoder and mask decoder alone; or these and
        low-rank adapters of the image encoder.
    lora_rank : int
        Width of the adapters.
    frame : {"cut", "fixed", "whole"}
        What a window shows: a piece cut around an object; or, for a SAM, the whole
        image, either as it is but turned, so that a frozen encoder sees it again, or
        with a varied scale and look.
    frozen_norm : bool
        Batch norms keep the statistics they have.
    from_scratch : bool
        Start from random weights.
    validation : float
        Share of each set's images that is held back to choose the best weights; 0 fits
        on all and takes the last ones.
    validate_every, patience : int
        Steps between validations, and how many in a row may bring nothing new.
    sets : tuple of str
        Names of the data sets to take; all that are given if empty.
    set_weights : dict of str to float
        How often a set is drawn from; the square root of its number of images by
        default.
    paste : dict of str to float
        Share of a set's images that get an object of another image of the set.
    augment : AugmentConfig
    prompts : PromptConfig

    Raises
    ------
    DataError
        A value is out of its range.
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
    parts: str = "all"
    lora_rank: int = 4
    frame: str = "cut"
    frozen_norm: bool = False
    from_scratch: bool = False
    validation: float = 0.0
    validate_every: int = 25
    patience: int = 6
    sets: tuple[str, ...] = ()
    set_weights: dict[str, float] = field(default_factory=dict)
    paste: dict[str, float] = field(default_factory=dict)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise DataError(f"{name} must be at least 1; raise it.")
        for name in SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise DataError(f"{name} is a share: at least 0 and less than 1.")
        if not 0 <= self.background <= 1:
            raise DataError("background is a chance: between 0 and 1.")
        if self.parts not in PARTS:
            raise DataError(f"parts must be one of {', '.join(PARTS)}.")
        if self.frame not in FRAMES:
            raise DataError(f"frame must be one of {', '.join(FRAMES)}.")
        if not 0 < sum(self.rounds) < math.inf or min(self.rounds) < 0:
            raise DataError("rounds must be chances, not all of them 0.")

    def save(self, path: Path) -> None:
        """Write the recipe as JSON."""
        path.write_text(self.to_json() + "\n", encoding="utf-8")

    def to_json(self) -> str:
        """Return all settings as a JSON object."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe; settings that the file leaves out keep their defaults.

        Raises
        ------
        DataError
            Where the file is no JSON object, or names an unknown setting or a value
            that does not fit it.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path} is not a readable recipe: {error}") from error
        recipe: Recipe = _fill(cls, values, "A recipe")
        return recipe

    @classmethod
    def named(cls, name: str) -> Recipe:
        """Return a recipe of this package, one of `RECIPES`.

        Raises
        ------
        DataError
            There is none of this name.
        """
        if name not in RECIPES:
            known = ", ".join(RECIPES)
            raise DataError(f"There is no recipe {name!r}; there are: {known}.")
        return cls.load(RECIPES_FOLDER / f"{name}.json")


def _fill(kind: type, values: Any, words: str) -> Any:
    if not isinstance(values, dict):
        raise DataError(f"{words} must be an object of settings, in braces.")
    defaults = kind()
    known = {item.name for item in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise DataError(
            f"{words} has no setting {', '.join(unknown)}; remove it. There are:"
            f" {', '.join(sorted(known))}."
        )
    ready = {
        name: _convert(value, getattr(defaults, name), name)
        for name, value in values.items()
    }
    return kind(**ready)


def _convert(value: Any, default: Any, name: str) -> Any:
    """Check a value against the kind of the default, lists becoming tuples."""
    if is_dataclass(default):
        return _fill(type(default), value, name)
    if isinstance(default, tuple):
        kinds: tuple[type, ...] = (str,) if name in NAMES else (int, float)
        good = isinstance(value, list) and all(isinstance(v, kinds) for v in value)
        value = tuple(value) if good else value
    elif isinstance(default, dict):
        good = isinstance(value, dict) and all(
            isinstance(v, int | float) and v > 0 for v in value.values()
        )
    elif isinstance(default, float):
        good = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        good = type(value) is type(default)
    if not good:
        raise DataError(f"{name} cannot be {value!r}; write it like {default!r}.")
    return value
