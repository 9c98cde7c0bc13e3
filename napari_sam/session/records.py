"""Edits and prompts as JSON, and back."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import DataError
from napari_sam.geometry import decode_rle, encode_rle
from napari_sam.session.labels import Patch, PlacedMask
from napari_sam.session.plane import Plane
from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    Provenance,
    TextPrompt,
)

if TYPE_CHECKING:
    from napari_sam.session.document import Finding

Record = dict[str, Any]


def verb_record(verb: str, **values: Any) -> Record:
    """Return the record of an edit."""
    return {"verb": verb, **values}


def commit_record(finding: Finding, rule: str, object_id: int) -> Record:
    """Return the record of a commit."""
    return {
        "verb": "commit",
        "id": object_id,
        "rule": rule,
        "class_name": finding.class_name,
        "predicted_iou": number_or_none(finding.predicted_iou),
        "stability_score": number_or_none(finding.stability_score),
        "text_score": finding.text_score,
        "phrase": finding.phrase,
        "provenance": write_provenance(finding.provenance),
        "mask": write_mask(finding.placed),
    }


def read_finding(record: Record) -> Finding:
    """Return what `commit_record` wrote."""
    from napari_sam.session.document import Finding

    return Finding(
        placed=read_mask(record["mask"]),
        class_name=record["class_name"],
        predicted_iou=nan_if_none(record["predicted_iou"]),
        stability_score=nan_if_none(record["stability_score"]),
        text_score=record["text_score"],
        phrase=record["phrase"],
        provenance=read_provenance(record["provenance"]),
    )


def patch_record(patch: Patch) -> Record:
    """Return a patch as JSON."""
    return {
        "plane": write_plane(patch.plane),
        "box": list(patch.box),
        "before": _pack(patch.before),
        "after": _pack(patch.after),
    }


def read_patch(record: Record) -> Patch:
    """Return what `patch_record` wrote."""
    row0, col0, row1, col1 = record["box"]
    shape = (row1 - row0, col1 - col0)
    before, after = (_unpack(record[key], shape) for key in ("before", "after"))
    plane = read_plane(record["plane"])
    return Patch(plane, (row0, col0, row1, col1), before, after)


def write_plane(plane: Plane) -> Record:
    """Return a plane as JSON."""
    return {
        "shape": list(plane.shape),
        "rows": plane.rows,
        "cols": plane.cols,
        "point": list(plane.point),
    }


def read_plane(record: Record) -> Plane:
    """Return what `write_plane` wrote."""
    shape, point = tuple(record["shape"]), tuple(record["point"])
    return Plane(shape, record["rows"], record["cols"], point)


def write_mask(placed: PlacedMask) -> Record:
    """Return a mask in its box as JSON."""
    return {
        "plane": write_plane(placed.plane),
        "origin": list(placed.origin),
        "shape": list(placed.mask.shape),
        "counts": encode_rle(placed.mask),
    }


def read_mask(record: Record) -> PlacedMask:
    """Return what `write_mask` wrote.

    Raises
    ------
    DataError
        If the runs do not fill the box.
    """
    height, width = record["shape"]
    try:
        mask = decode_rle(record["counts"], (height, width))
    except ValueError as error:
        raise DataError(f"A mask of the session file is damaged: {error}") from error
    row, col = record["origin"]
    return PlacedMask(read_plane(record["plane"]), (row, col), mask)


def write_provenance(provenance: Provenance) -> Record:
    """Return a provenance as JSON."""
    prompts = provenance.prompts
    return {
        "model": provenance.model,
        "checkpoint": provenance.checkpoint,
        "method": provenance.method,
        "prompts": None if prompts is None else write_prompts(prompts),
    }


def read_provenance(record: Record) -> Provenance:
    """Return what `write_provenance` wrote."""
    prompts = record["prompts"]
    return Provenance(
        record["model"],
        record["checkpoint"],
        None if prompts is None else read_prompts(prompts),
        record["method"],
    )


def write_prompts(prompts: PromptSet) -> Record:
    """Return prompts as JSON, in pixels of the plane."""
    box, mask, text = prompts.box, prompts.mask, prompts.text
    return {
        "points": [[*each.position, each.positive] for each in prompts.points],
        "box": None if box is None else [*box.start, *box.stop],
        "mask": None if mask is None else _write_mask_prompt(mask),
        "text": None if text is None else text.phrase,
    }


def read_prompts(record: Record) -> PromptSet:
    """Return what `write_prompts` wrote."""
    box, mask, text = record["box"], record["mask"], record["text"]
    return PromptSet(
        points=tuple(
            PointPrompt((row, col), positive) for row, col, positive in record["points"]
        ),
        box=None if box is None else BoxPrompt((box[0], box[1]), (box[2], box[3])),
        mask=None if mask is None else _read_mask_prompt(mask),
        text=None if text is None else TextPrompt(text),
    )


def write_frame(frame: Frame) -> Record:
    """Return a frame as JSON."""
    return {
        "origin": list(frame.origin),
        "step": list(frame.step),
        "shape": list(frame.shape),
    }


def read_frame(record: Record) -> Frame:
    """Return what `write_frame` wrote."""
    origin, step, shape = (tuple(record[key]) for key in ("origin", "step", "shape"))
    return Frame(origin, step, shape)


def _write_mask_prompt(mask: MaskPrompt) -> Record:
    if mask.frame is None:
        inside = np.asarray(mask.values) > 0
        return {"shape": list(inside.shape), "counts": encode_rle(inside)}
    values = np.asarray(mask.values, np.float32)
    return {"frame": write_frame(mask.frame), "logits": _pack(values)}


def _read_mask_prompt(record: Record) -> MaskPrompt:
    if "counts" in record:
        height, width = record["shape"]
        return MaskPrompt(decode_rle(record["counts"], (height, width)))
    frame = read_frame(record["frame"])
    return MaskPrompt(_unpack(record["logits"], frame.shape), frame)


def _pack(values: NDArray[Any]) -> Record:
    packed = zlib.compress(np.ascontiguousarray(values).tobytes())
    return {"dtype": values.dtype.str, "zlib": base64.b64encode(packed).decode()}


def _unpack(record: Record, shape: tuple[int, ...]) -> NDArray[Any]:
    content = zlib.decompress(base64.b64decode(record["zlib"]))
    return np.frombuffer(content, record["dtype"]).reshape(shape).copy()


def number_or_none(value: float) -> float | None:
    """Return a number that JSON has: NaN is none."""
    return float(value) if value == value else None


def nan_if_none(value: float | None) -> float:
    """Return what `number_or_none` was given."""
    return float("nan") if value is None else value
