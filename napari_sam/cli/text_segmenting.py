"""The work of ``napari-sam segment --text``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.cli.images import read_image, read_mask_labels
from napari_sam.cli.jobs import PictureJob
from napari_sam.cli.progress import progress_bar
from napari_sam.cli.segmenting import load_predictor, write_results
from napari_sam.errors import DataError
from napari_sam.export.objects import ExportedObject, objects_of
from napari_sam.session.concepts import concept_path, read_concept
from napari_sam.structures import MaskRecord
from napari_sam.text.phrases import Phrase, parse_phrases

if TYPE_CHECKING:
    from napari_sam.inference.text_exemplars import ExemplarPrompt
    from napari_sam.inference.text_prompt import TextSegmenter
    from napari_sam.inference.text_selection import TextSelection


@dataclass(frozen=True, eq=False)
class TextJob(PictureJob):
    """Objects that words, examples or concepts name."""

    phrases: tuple[str, ...] = ()
    like: tuple[Path, ...] = ()
    unlike: tuple[Path, ...] = ()
    concepts: tuple[str, ...] = ()
    save_concept: str | None = None
    threshold: float | None = None
    clip: str = "clip_pocket"
    words: Path | None = None


def run_text_job(job: TextJob) -> TextSelection:
    """Find what words, examples or concepts name in an image file, and write it.

    Parameters
    ----------
    job : TextJob

    Returns
    -------
    TextSelection

    Raises
    ------
    NapariSamError
        A file, a phrase, the model or an output cannot be used.
    """
    from napari_sam.inference.text_prompt import TextSegmenter
    from napari_sam.inference.text_selection import DEFAULT_THRESHOLD

    # What cannot be asked is refused before anything slow.
    phrases = parse_phrases(job.phrases) if job.phrases else ()
    if job.save_concept is not None and len(phrases) > 1:
        raise DataError("A concept is one class: give one --text with --save-concept.")
    image = read_image(job.image)
    concepts = [read_concept(name) for name in job.concepts]
    predictor = load_predictor(job.model, job.device, job.dtype)
    segmenter = TextSegmenter(predictor, job.clip, words=job.words)
    with progress_bar("Finding candidates"):
        segmenter.set_image(image, channel_axis=job.channel_axis)
    example = _example(job, phrases, predictor.embedding.image_shape)
    found = segmenter.candidates(
        None,
        list(job.phrases),
        like=[] if example is None else [example],
        concepts=concepts,
    )
    threshold = job.threshold
    if threshold is None:
        threshold = min((c.threshold for c in concepts), default=DEFAULT_THRESHOLD)
    selection = found.select(threshold)
    if job.save_concept is not None:
        _keep(job, phrases, segmenter, example, threshold)
    write_results(job, image, exported(selection), selection.image_shape)
    return selection


def _example(
    job: TextJob, phrases: Sequence[Phrase], shape: tuple[int, int]
) -> ExemplarPrompt | None:
    """The examples of a job, joined to its phrase if there is one."""
    if not job.like:
        return None
    from napari_sam.inference.text_exemplars import ExemplarPrompt

    read: Callable[[Path], list[MaskRecord]] = lambda path: [  # noqa: E731
        each.record for each in objects_of(read_mask_labels(path, shape))
    ]
    accepted = [record for path in job.like for record in read(path)]
    rejected = [record for path in job.unlike for record in read(path)]
    name = phrases[0].name if phrases else job.like[0].stem
    return ExemplarPrompt(name, tuple(accepted), tuple(rejected))


def _keep(
    job: TextJob,
    phrases: Sequence[Phrase],
    segmenter: TextSegmenter,
    example: ExemplarPrompt | None,
    threshold: float,
) -> None:
    from napari_sam.inference.text_exemplars import ExemplarPrompt

    assert job.save_concept is not None
    words = " | ".join(phrases[0].synonyms) if phrases else ""
    path = concept_path(job.save_concept)
    shown = example or ExemplarPrompt(path.stem, ())
    segmenter.learn(path.stem, words, shown, threshold).save(path)


def exported(selection: TextSelection) -> list[ExportedObject]:
    """The instances of a selection with the ids that they have in its labels."""
    return [
        ExportedObject(number, each.record, each.phrase, each.class_id, each.text_score)
        for number, each in enumerate(selection.instances, start=1)
    ]


def describe_text_job(job: TextJob, selection: TextSelection) -> dict[str, Any]:
    """Return the JSON object of ``napari-sam segment --text --json``."""
    return {
        "image": str(job.image),
        "shape": list(selection.image_shape),
        "model": job.model,
        "clip": job.clip,
        "out": str(job.out),
        "classes": list(selection.names),
        "not_found": list(selection.not_found),
        "notes": [note for note in selection.notes if note],
        "looks_like": selection.looks_like or None,
        "objects": [
            {
                "id": each.id,
                "class": each.name,
                "text_score": round(each.text_score or 0.0, 5),
                "predicted_iou": round(each.record.predicted_iou, 5),
                "area": each.area,
                "box": list(each.box),
            }
            for each in exported(selection)
        ],
    }
