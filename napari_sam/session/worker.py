"""The model and its embeddings; used by one thread at a time, the runner's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from napari_sam.errors import ModelError
from napari_sam.session.layer_checks import checked_layers
from napari_sam.session.libraries import reading_libraries
from napari_sam.session.propagation_task import PropagationTask, StackArray
from napari_sam.session.tidying import tidy
from napari_sam.session.view import ImageView, to_view
from napari_sam.structures import (
    MaskPrediction,
    MaskRecord,
    PromptSet,
)

if TYPE_CHECKING:
    from napari_sam.inference.automatic import Method
    from napari_sam.inference.framing import ImageEmbedding
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.inference.volume import VolumeSegmenter
    from napari_sam.inference.volume_planes import VolumePlanes
    from napari_sam.inference.volume_result import VolumeSegmentation
    from napari_sam.inference.volume_sweep import OnSlice

# Slices that a person goes back and forth between.
KEPT_EMBEDDINGS = 8
# Of an image whose parts are looked at ahead: its first parts would soon be forgotten.
AHEAD_BYTES = 400_000_000
# Where memory runs out, a batch is made so many times smaller.
FEWER = 4
T = TypeVar("T")
# Masks, and what looks for better ones.
Step = tuple[MaskPrediction, Iterator[MaskPrediction]]
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ModelChoice:
    """A model to load.

    Attributes
    ----------
    name : str
    device, dtype : str
        As for `create_model`.
    """

    name: str
    device: str = "auto"
    dtype: str = "auto"


class Worker:
    """Loads the model, embeds views and predicts.

    Parameters
    ----------
    say : callable
        Takes a sentence for the person who waits.

    Attributes
    ----------
    cache_bytes : int
        Features of a stack's slices that are kept.
    spare_cores : int
        Cores that torch leaves alone while it answers prompts, for whoever draws the
        window: its threads wait for each other, so that one held up holds up all.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._predictor: SamPredictor | None = None
        self._embeddings: OrderedDict[Hashable, ImageEmbedding] = OrderedDict()
        self._stack: tuple[Hashable, VolumePlanes] | None = None
        self.cache_bytes = 512_000_000
        self.spare_cores = 0
        self._ahead: tuple[ImageEmbedding, Iterator[object]] | None = None

    @property
    def predictor(self) -> SamPredictor:
        """What predicts.

        Raises
        ------
        ModelError
            If no model is loaded.
        """
        if self._predictor is None:
            raise ModelError("No model is loaded: choose one first.")
        return self._predictor

    @property
    def model_name(self) -> str:
        """Name of the model that predicts; "" if none is loaded."""
        return "" if self._predictor is None else str(self._predictor.model.name)

    def use(self, predictor: SamPredictor) -> None:
        """Take a predictor that exists; embeddings of another are forgotten."""
        self._predictor = predictor
        self._embeddings.clear()
        self._stack = self._ahead = None

    def load(self, choice: ModelChoice, progress: Progress | None = None) -> None:
        """Create a model, downloading its weights where they are missing.

        Raises
        ------
        ModelError, CheckpointError
            As `create_model`.
        """
        with reading_libraries():
            from napari_sam.inference.predictor import SamPredictor
            from napari_sam.nn.checkpoint import ensure_checkpoint
            from napari_sam.nn.download import find_checkpoint
            from napari_sam.nn.registry import create_model

        if find_checkpoint(choice.name) is None:
            ensure_checkpoint(choice.name, progress=progress)
        with reading_libraries():
            model = create_model(choice.name, device=choice.device, dtype=choice.dtype)
            predictor = SamPredictor(model)
        self.use(predictor)

    def embed(self, view: ImageView) -> None:
        """Make the view's embedding the current one, reading it if it is new."""
        known = self._embeddings.get(view.key)
        if known is not None:
            self._embeddings.move_to_end(view.key)
            self.predictor.set_embedding(known)
            return
        samples = view.read()
        self.guarded(lambda: self._set_image(view, samples))
        self._embeddings[view.key] = self.predictor.embedding
        while len(self._embeddings) > KEPT_EMBEDDINGS:
            self._embeddings.popitem(last=False)

    def predict(
        self, view: ImageView, prompts: PromptSet, multimask_output: bool
    ) -> MaskPrediction:
        """Predict tidy masks in samples of a view, from prompts in pixels of its plane.

        Raises
        ------
        ImageError, PromptError
            As `SamPredictor`.
        """
        *_, last = self.predict_steps(view, prompts, multimask_output)
        return last

    def predict_steps(
        self,
        view: ImageView,
        prompts: PromptSet,
        multimask_output: bool,
        quick: bool = False,
    ) -> Iterator[MaskPrediction]:
        """Predict as `predict`, at once and then perhaps better; only once if quick.

        Raises
        ------
        ImageError, PromptError
            As `SamPredictor`.
        """
        inner = to_view(prompts, view)
        first = partial(self._first_step, view, inner, multimask_output, quick)
        steps = self._answer(first)
        while steps is not None:
            prediction, others = steps
            yield tidy(prediction)
            steps = self._answer(partial(_next_step, others))

    def _first_step(
        self, view: ImageView, inner: PromptSet, multimask_output: bool, quick: bool
    ) -> Step | None:
        self.embed(view)
        predictor = self.predictor
        return _next_step(predictor.predict_steps(inner, multimask_output, quick=quick))

    def read_ahead(
        self, view: ImageView, check: Callable[[], None] = lambda: None
    ) -> bool:
        """Let the model look at the next part of a view, for clicks to come.

        Parameters
        ----------
        view : ImageView
        check : callable
            Called before each layer of the model; what it raises leaves the part, to
            be looked at anew the next time.

        Returns
        -------
        bool
            False once it has looked at all that matters, or at all that is kept.
        """
        from napari_sam.inference.blocks import PyramidEmbedding
        from napari_sam.inference.look_ahead import look_ahead
        from napari_sam.inference.pyramid import PyramidFraming

        self.embed(view)
        seen, framing = self.predictor.embedding, self.predictor.framing
        if not isinstance(framing, PyramidFraming):
            return False
        assert isinstance(seen, PyramidEmbedding)
        if self._ahead is None or self._ahead[0] is not seen:
            self._ahead = seen, look_ahead(framing, seen)
        parts = self._ahead[1]
        try:
            with checked_layers(self.predictor.model, check):
                part = self.guarded(lambda: next(parts, None))
        except BaseException:
            # What was left while it ran cannot be gone on with.
            self._ahead = None
            raise
        return part is not None and seen.nbytes < AHEAD_BYTES

    def everything(
        self,
        view: ImageView,
        method: Method,
        grid: dict[str, Any],
        settings: dict[str, Any],
        report: Progress,
    ) -> list[MaskRecord]:
        """Find all objects in a view, the most trusted first.

        Parameters
        ----------
        view : ImageView
        method : {"dense", "grid"}
            See `napari_sam.inference.automatic.segment_everything`.
        grid : dict
            Of `AutomaticMaskGenerator`, for "grid".
        settings : dict
            Of `InstanceSettings`.
        report : callable
            Takes the work done and its total; what it raises ends the work.

        Raises
        ------
        ModelError
            If the model has no dense head, or the grid's parameters contradict.
        """
        from napari_sam.inference.automatic import segment_everything
        from napari_sam.inference.grid import AutomaticMaskGenerator
        from napari_sam.inference.instances import InstanceSettings

        def work() -> list[MaskRecord]:
            self.embed(view)
            predictor, batch = self.predictor, self.predictor.framing.batch
            generator = None
            if method == "grid":
                at_once = min(batch, grid.get("points_per_batch", batch))
                generator = AutomaticMaskGenerator(
                    predictor.model, **{**grid, "points_per_batch": at_once}
                )
            found = segment_everything(
                predictor,
                method=method,
                settings=InstanceSettings(**settings),
                generator=generator,
                progress=report,
            )
            return found.records

        return self.guarded(work, batched=True)

    def propagate(
        self,
        task: PropagationTask,
        *,
        progress: Progress,
        should_cancel: Callable[[], bool],
        on_slice: OnSlice,
    ) -> VolumeSegmentation:
        """Follow objects through a stack; what was found until a cancel is returned.

        Parameters
        ----------
        task : PropagationTask
        progress, should_cancel, on_slice : callable
            As for `VolumeSegmenter.propagate`.

        Raises
        ------
        ImageError, PromptError
            As `VolumeSegmenter.propagate`.
        """

        def work() -> VolumeSegmentation:
            from napari_sam.inference.volume import VolumeSegmenter

            segmenter = VolumeSegmenter(self.predictor, task.settings)
            return segmenter.correct(
                self.open_stack(
                    task.view, StackArray(task.view, task.stack), segmenter
                ),
                task.existing(),
                confirmed=task.confirmed(),
                direction=task.direction,
                limits=task.limits,
                progress=progress,
                should_cancel=should_cancel,
                on_slice=on_slice,
            )

        return self.guarded(work, batched=True)

    def open_stack(
        self, view: ImageView, array: StackArray, segmenter: VolumeSegmenter
    ) -> VolumePlanes:
        """Open a stack; the last one stays open, with its slices' embeddings.

        Parameters
        ----------
        view : ImageView
            Of one of its planes.
        array : StackArray
        segmenter : VolumeSegmenter
            Of the `predictor` there is now.
        """
        key, planes = self._stack or (None, None)
        if planes is None or key != array.key:
            channels = view.display.channel_axis
            planes = segmenter.open(
                array,
                channel_axis=None if channels is None else channels + 1,
                contrast_limits=view.display.contrast_limits,
                cache_bytes=self.cache_bytes,
                denoise=not segmenter.settings.is_movie,
            )
            self._stack = array.key, planes
        return planes

    def _set_image(self, view: ImageView, samples: Any) -> None:
        shown = view.display
        self.predictor.set_image(
            samples,
            channel_axis=shown.channel_axis,
            channel_map=shown.channel_map,
            contrast_limits=shown.contrast_limits,
            gamma=shown.gamma,
        )

    def _answer(self, work: Callable[[], T]) -> T:
        """Do work beside which the window is drawn."""
        with _fewer_threads(self.spare_cores):
            return self.guarded(work)

    def guarded(self, work: Callable[[], T], *, batched: bool = False) -> T:
        """Do work again with less at a time, and then on the CPU, if memory runs out.

        Parameters
        ----------
        work : callable
            Begins anew at each call, with the `predictor` there is then.
        batched : bool
            Whether it decodes many prompts at a time.
        """
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if "out of memory" not in str(error).lower() or self._on_cpu():
                    raise
            if batched and self.predictor.framing.batch > 1:
                self._take_less()
            else:
                self._move_to_cpu()

    def _take_less(self) -> None:
        framing = self.predictor.framing
        framing.batch = max(1, framing.batch // FEWER)
        self._say(
            f"{self.predictor.model.name}: the device is out of memory, so it goes on "
            f"with {framing.batch} at a time."
        )

    def _on_cpu(self) -> bool:
        return str(self.predictor.model.device) == "cpu"

    def _move_to_cpu(self) -> None:
        from napari_sam.inference.predictor import SamPredictor
        from napari_sam.nn.registry import create_model

        name = self.predictor.model.name
        self._say(f"{name}: the device is out of memory, so it goes on on the CPU.")
        self._predictor = None
        self.use(SamPredictor(create_model(name, device="cpu")))


@contextmanager
def _fewer_threads(count: int) -> Iterator[None]:
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(max(1, usual - count))
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _next_step(steps: Iterator[MaskPrediction]) -> Step | None:
    found = next(steps, None)
    return None if found is None else (found, steps)
