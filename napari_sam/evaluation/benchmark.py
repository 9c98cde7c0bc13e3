"""Measure a predictor on labelled images with simulated prompts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from napari_sam.errors import DataError
from napari_sam.evaluation.examples import ExampleKeeper
from napari_sam.evaluation.labelled import ImageSet, LabelledImage, Target, spread
from napari_sam.evaluation.trials import (
    Predictor,
    Step,
    Stopwatch,
    Trial,
    refine,
    run_box,
    run_points,
    start_trials,
    time_single_clicks,
)

PROTOCOLS = ("points", "box")
MAX_CLICKS = 20
# Bounds the masks in memory: three candidates of one byte a pixel for each object.
_BATCH_BYTES = 64_000_000
_BATCH_OBJECTS = 32


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured.

    Attributes
    ----------
    protocols : tuple of str
        Of "points" and "box".
    clicks : int
        Clicks on each object, 1 to 20; with 20, the clicks needed for an IoU of .85
        and .90 are reported.
    box_clicks : int
        Clicks after a box.
    max_objects : int or None
        Objects measured in each image, evenly spread over it; None for all.
    limit : int or None
        Files measured of each set, evenly spread over it; None for all.
    seed : int
    examples : int
        Best and worst objects of each set that are kept with their pixels.

    Raises
    ------
    DataError
        If a number is out of range or a protocol is unknown.
    """

    protocols: tuple[str, ...] = PROTOCOLS
    clicks: int = 5
    box_clicks: int = 2
    max_objects: int | None = None
    limit: int | None = None
    seed: int = 0
    examples: int = 3

    def __post_init__(self) -> None:
        unknown = set(self.protocols) - set(PROTOCOLS)
        if unknown or not self.protocols:
            raise DataError(
                f"Unknown protocol {', '.join(sorted(unknown)) or '(none)'}: use "
                f"{' or '.join(PROTOCOLS)}."
            )
        if not 1 <= self.clicks <= MAX_CLICKS:
            raise DataError(f"clicks must be 1 to {MAX_CLICKS}, not {self.clicks}.")
        if self.box_clicks < 0 or self.examples < 0:
            raise DataError("box_clicks and examples cannot be negative.")
        for name in ("max_objects", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name} must be at least 1, not {value}.")


@dataclass(frozen=True)
class ObjectRecord:
    """What was measured of one object.

    Attributes
    ----------
    image : str
    identifier : int
        Its id in the labels.
    area : int
        In pixels.
    points : tuple of Step
        After 1, 2, 3 ... clicks; empty without the points protocol.
    oracle : float or None
        Best IoU of the three candidates after the first click.
    box, noisy_box : Step or None
    box_points : tuple of Step
        After the exact box and 1, 2 ... clicks.
    """

    image: str
    identifier: int
    area: int
    points: tuple[Step, ...] = ()
    oracle: float | None = None
    box: Step | None = None
    noisy_box: Step | None = None
    box_points: tuple[Step, ...] = ()


@dataclass
class SetResult:
    """What was measured of one set.

    Attributes
    ----------
    name : str
    clicks : int
        Most clicks an object got.
    images : int
        2D images with at least one object.
    records : list of ObjectRecord
    encode_seconds : list of float
        One for each image.
    click_seconds : list of float
        Single clicks, answered one at a time.
    batch : Stopwatch
        All other prompts, answered many at a time.
    examples : ExampleKeeper
    """

    name: str
    clicks: int
    images: int = 0
    records: list[ObjectRecord] = field(default_factory=list)
    encode_seconds: list[float] = field(default_factory=list)
    click_seconds: list[float] = field(default_factory=list)
    batch: Stopwatch = field(default_factory=Stopwatch)
    examples: ExampleKeeper = field(default_factory=ExampleKeeper)


def run_benchmark(
    predictor: Predictor,
    sets: Iterable[ImageSet],
    settings: BenchmarkSettings | None = None,
    on_image: Callable[[SetResult], None] | None = None,
) -> list[SetResult]:
    """Measure a predictor on sets of labelled images.

    The protocol of Segment Anything (Kirillov et al. 2023, appendix D): the first
    click in the middle of the object is answered by the candidate of highest predicted
    IoU; later clicks go to the middle of the largest error, together with the previous
    low-resolution mask. Boxes are exact, and with a tenth of their side as noise.

    Parameters
    ----------
    predictor : Predictor
        A `SamPredictor`, or anything with its ``set_image`` and ``predict_batch``.
    sets : iterable of ImageSet
    settings : BenchmarkSettings, optional
    on_image : callable, optional
        Called with the set's result so far after each image.

    Returns
    -------
    list of SetResult
        One for each set.

    Raises
    ------
    DataError
        If a set has no object at all, or a file cannot be read.
    """
    chosen = settings or BenchmarkSettings()
    return [_run_set(predictor, each, chosen, on_image) for each in sets]


def _run_set(
    predictor: Predictor,
    images: ImageSet,
    settings: BenchmarkSettings,
    on_image: Callable[[SetResult], None] | None,
) -> SetResult:
    keeper = ExampleKeeper(settings.examples)
    result = SetResult(images.name, settings.clicks, examples=keeper)
    for image in images.limited(settings.limit):
        if image.targets:
            _run_image(predictor, image, settings, result)
            if on_image:
                on_image(result)
    if not result.records:
        raise DataError(f"The set {images.name} has no labelled object.")
    return result


def _run_image(
    predictor: Predictor,
    image: LabelledImage,
    settings: BenchmarkSettings,
    result: SetResult,
) -> None:
    started = time.perf_counter()
    predictor.set_image(image.image, channel_axis=image.channel_axis)
    result.encode_seconds.append(time.perf_counter() - started)
    result.images += 1
    targets = spread(image.targets, settings.max_objects)
    timed = start_trials(image, targets[:3], settings.seed)
    result.click_seconds += time_single_clicks(predictor, timed)
    for chunk in _chunks(targets, image.shape):
        result.records += _run_chunk(predictor, image, chunk, settings, result)


def _chunks(
    targets: Sequence[Target], shape: tuple[int, int]
) -> Iterator[Sequence[Target]]:
    fitting = _BATCH_BYTES // (3 * shape[0] * shape[1])
    size = max(1, min(_BATCH_OBJECTS, fitting))
    for start in range(0, len(targets), size):
        yield targets[start : start + size]


def _run_chunk(
    predictor: Predictor,
    image: LabelledImage,
    targets: Sequence[Target],
    settings: BenchmarkSettings,
    result: SetResult,
) -> list[ObjectRecord]:
    def trials() -> list[Trial]:
        return start_trials(image, targets, settings.seed)

    clicked: list[Trial] = []
    boxed: list[Trial] = []
    noisy: list[Trial] = []
    if "points" in settings.protocols:
        clicked = trials()
        run_points(predictor, clicked, settings.clicks, result.batch)
    if "box" in settings.protocols:
        boxed, noisy = trials(), trials()
        run_box(predictor, boxed, False, result.batch)
        refine(predictor, boxed, settings.box_clicks, result.batch)
        run_box(predictor, noisy, True, result.batch)
    for trial in clicked or boxed:
        result.examples.offer(image, trial)
    return [
        _record(image.name, target, *_nth((clicked, boxed, noisy), index))
        for index, target in enumerate(targets)
    ]


def _nth(groups: Iterable[list[Trial]], index: int) -> Iterator[Trial | None]:
    return (group[index] if group else None for group in groups)


def _record(
    image: str,
    target: Target,
    clicked: Trial | None,
    boxed: Trial | None,
    noisy: Trial | None,
) -> ObjectRecord:
    return ObjectRecord(
        image,
        target.identifier,
        target.area,
        points=tuple(clicked.steps) if clicked else (),
        oracle=clicked.oracle if clicked else None,
        box=boxed.steps[0] if boxed else None,
        noisy_box=noisy.steps[0] if noisy else None,
        box_points=tuple(boxed.steps[1:]) if boxed else (),
    )
