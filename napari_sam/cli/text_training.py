"""The work of ``napari-sam train-text``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_sam.cli.progress import progress_bar
from napari_sam.cli.segmenting import load_predictor
from napari_sam.text.clip import load_clip


@dataclass(frozen=True)
class TextTrainJob:
    """What a user asked for; see ``napari-sam train-text --help``."""

    datasets: tuple[Path, ...]
    out: Path
    model: str = "pocket"
    clip: str = "clip_pocket"
    bundled: bool = False
    synthetic: int | None = None
    steps: int | None = None
    seed: int | None = None
    tokens: bool = False
    device: str = "auto"


def run_text_training(job: TextTrainJob) -> Iterator[str]:
    """Teach words and write the file.

    Parameters
    ----------
    job : TextTrainJob

    Yields
    ------
    str
        A line for the user.

    Raises
    ------
    NapariSamError
        A data set, the model or the CLIP cannot be used.
    """
    if job.tokens:
        yield from _fit_tokens(job)
        return
    from napari_sam.training.text import WordRecipe, save_words, teach_words

    recipe = WordRecipe.bundled() if job.bundled else WordRecipe({})
    given: dict[str, Any] = {
        "synthetic": job.synthetic,
        "steps": job.steps,
        "seed": job.seed,
    }
    recipe = replace(recipe, **{k: v for k, v in given.items() if v is not None})
    predictor = load_predictor(job.model, job.device, "auto")
    clip = load_clip(job.clip)
    with progress_bar("Describing masks") as advance:
        head, facts = teach_words(
            predictor, clip, job.datasets, recipe, lambda count: advance(count, None)
        )
    save_words(head, clip, predictor, job.out)
    yield f"Learnt from {facts['masks']} masks in {facts['images']} images."
    for source, share in facts["named_rightly"].items():
        yield f"{source}: {share:.1%} of its masks are named rightly."
    yield f"Wrote {job.out}"


def _fit_tokens(job: TextTrainJob) -> Iterator[str]:
    from napari_sam.training.text_tokens import TokenRecipe, teach_tokens

    given = {"steps": job.steps, "seed": job.seed}
    recipe = TokenRecipe(**{k: v for k, v in given.items() if v is not None})
    predictor = load_predictor(job.model, job.device, "float32")
    with progress_bar("Fitting prompt tokens") as advance:
        result = teach_tokens(
            predictor, load_clip(job.clip), job.datasets, recipe, job.out, advance
        )
    yield f"Loss {result.first_loss:.3f} at first and {result.last_loss:.3f} at last."
    yield f"Wrote {job.out}"
