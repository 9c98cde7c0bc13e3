"""Keys, bound on our own layers only, so that napari's keep their meaning elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_sam.errors import NapariSamError

if TYPE_CHECKING:
    from napari_sam._napari.viewer_link import ViewerLink

Action = Callable[["ViewerLink"], object]


def _next(link: ViewerLink) -> None:
    link.session.next_candidate()


def _previous(link: ViewerLink) -> None:
    link.session.next_candidate(-1)


def _swap_polarity(link: ViewerLink) -> None:
    link.pointing.positive = not link.pointing.positive


def _toggle_hover(link: ViewerLink) -> None:
    link.pointing.hover = not link.pointing.hover


def _point(link: ViewerLink) -> None:
    link.pointing.tool = "point"


def _box(link: ViewerLink) -> None:
    link.pointing.tool = "box"


def _commit(link: ViewerLink) -> None:
    link.session.commit_when_ready()


def _clear(link: ViewerLink) -> None:
    link.session.clear_prompts()


def _undo(link: ViewerLink) -> None:
    link.session.undo()


def _redo(link: ViewerLink) -> None:
    link.session.redo()


def _propagate(link: ViewerLink) -> None:
    _follow(link, "propagate")


def _rerun(link: ViewerLink) -> None:
    _follow(link, "rerun_here")


def _follow(link: ViewerLink, verb: str) -> None:
    """Call a verb of propagation, telling what cannot be done."""
    if link.propagation is None or not link.sync():
        return
    try:
        getattr(link.propagation, verb)()
    except NapariSamError as error:
        link.session.events.failed.emit(error)


def _worst(link: ViewerLink) -> None:
    link.go_to_worst()


# Key, what it does in words, what it does.
KEYS: tuple[tuple[str, str, Action], ...] = (
    ("Enter", "Commit the mask", _commit),
    ("Tab", "Next candidate mask", _next),
    ("Shift-Tab", "Previous candidate mask", _previous),
    ("Control-Z", "Undo", _undo),
    ("Control-Shift-Z", "Redo", _redo),
    ("Escape", "Clear the prompts", _clear),
    ("P", "Point tool", _point),
    ("B", "Box tool", _box),
    ("X", "Swap positive and negative", _swap_polarity),
    ("H", "Preview under the pointer", _toggle_hover),
    ("Shift-P", "Propagate through the stack", _propagate),
    ("Shift-R", "Rerun from this slice", _rerun),
    ("Shift-W", "Go to the worst slice", _worst),
)


def bind_keys(layer: Any, link: ViewerLink) -> None:
    """Bind all keys on a layer of ours."""
    for key, _, action in KEYS:
        layer.bind_key(key, _callback(action, link), overwrite=True)


def _callback(action: Action, link: ViewerLink) -> Callable[[Any], None]:
    def call(layer: Any) -> None:
        action(link)

    return call


def key_for(words: str) -> str:
    """Return the key whose action has these words, for a tooltip."""
    return next(key for key, text, _ in KEYS if text == words)
