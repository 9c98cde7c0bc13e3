"""Tell from key names and shapes which architecture a state dict belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from napari_sam.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.nn.containers import StateDict

_PATCHES = "image_encoder.patch_embed.proj.weight"
_VIT_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
# A key that only this architecture has.
_MARKS = {
    "vit_t": "image_encoder.patch_embed.seq.0.c.weight",
    "pocket": "prompt_encoder.map_skip.weight",
}
_OTHERS: dict[str, Callable[[str], bool]] = {
    "a SAM 2 model": lambda key: key.startswith("image_encoder.trunk."),
    "micro-sam's decoder for automatic segmentation, which comes beside the model": (
        lambda key: key.startswith(("deconv_out.", "out_conv.", "decoder_head."))
    ),
    "a CLIP model": lambda key: key.startswith(("visual.", "text_projection")),
}


def recognise(state: StateDict) -> str:
    """Name the architecture of a state dict.

    Parameters
    ----------
    state : dict of str to Tensor
        Under the model's own key names.

    Returns
    -------
    str
        "vit_b", "vit_l", "vit_h", "vit_t", "pocket", or "" if it is none of them.
    """
    if _PATCHES in state:
        return _VIT_WIDTHS.get(state[_PATCHES].shape[0], "")
    return next((name for name, key in _MARKS.items() if key in state), "")


def describe_stranger(keys: Iterable[str]) -> str:
    """Say what a state dict of no known architecture seems to be."""
    keys = list(keys)
    for what, belongs in _OTHERS.items():
        if any(belongs(key) for key in keys):
            return what
    return f"of no known model (its first key is {keys[0]!r})"


def check_architecture(state: StateDict, wanted: str, name: str, path: Path) -> None:
    """Refuse a state dict of another architecture than the model's.

    Models of other packages have no recorded architecture; for them the strict load
    decides.

    Raises
    ------
    CheckpointError
        It belongs to another architecture, named in the message.
    """
    found = recognise(state)
    if not wanted or found == wanted:
        return
    seen = f"a {found} model" if found else describe_stranger(state)
    raise CheckpointError(f"{path} does not fit {name} ({wanted}): it is {seen}.")
