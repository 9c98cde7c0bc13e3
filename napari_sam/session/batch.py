"""Many objects from prompts that exist already, as one edit."""

from __future__ import annotations

from collections.abc import Sequence

from napari_sam.errors import PromptError
from napari_sam.session.candidates import Candidates
from napari_sam.session.document import Finding
from napari_sam.session.drafts import Draft
from napari_sam.session.engine import Steps
from napari_sam.session.session import Session
from napari_sam.structures import PromptSet, Provenance


def segment_many(
    session: Session,
    prompts: Sequence[PromptSet],
    title: str,
    ids: Sequence[int] | None = None,
) -> None:
    """Segment an object for each set of prompts and commit them together.

    The result comes as one edit, when it is there; it can be cancelled before.

    Parameters
    ----------
    session : Session
    prompts : sequence of PromptSet
        In pixels of the shown plane.
    title : str
        Of the edit.
    ids : sequence of int, optional
        Id of each object, where they are to be kept; used only if no object has one
        of them yet.

    Raises
    ------
    PromptError
        If there is no image or no model.
    """
    view = session.view
    if view is None or not session.model_is_ready:
        raise PromptError("There is no image or no model yet: wait until it is loaded.")
    worker, class_name = session.engine.worker, session.class_name

    def work(steps: Steps) -> dict[int, Finding]:
        findings = {}
        for number, each in enumerate(prompts):
            steps.report(number, len(prompts))
            several = Draft(each).is_ambiguous
            prediction = worker.predict(view, each, several)
            found = Candidates(view, prediction, prediction.best)
            if found.box is not None:
                findings[number] = _finding(session, found, each, class_name)
        return findings

    def done(findings: dict[int, Finding]) -> None:
        kept = None if ids is None else [ids[number] for number in findings]
        count = session.document.add(
            list(findings.values()), session.overlap, title, ids=kept
        )
        left = len(prompts) - count
        rest = f"; {left} found no room or gave no mask" if left else ""
        session.events.status.emit(f"{count} objects from {title}{rest}.")

    session.engine.run(f"Segmenting {len(prompts)} objects", work, done)


def _finding(
    session: Session, found: Candidates, prompts: PromptSet, class_name: str
) -> Finding:
    prediction = found.prediction
    return Finding(
        found.place(),
        class_name,
        float(prediction.predicted_iou[found.chosen]),
        float(prediction.stability_score[found.chosen]),
        provenance=Provenance(session.model_name, prompts=prompts),
    )
