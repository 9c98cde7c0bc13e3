"""Keys, bound on our own layers only, so that napari's keep their meaning elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam._napari.viewer_link import ViewerLink

Action = Callable[["ViewerLink"], object]


def _next(link: ViewerLink) -> None:
    link.session.next_candidate()


def _previous(link: ViewerLink) -> None:
    link.session.next_candidate(-1)


def _swap_polarity(link: ViewerLink) -> None:
    link.positive = not link.positive


def _toggle_hover(link: ViewerLink) -> None:
    link.hover = not link.hover


def _point(link: ViewerLink) -> None:
    link.tool = "point"


def _box(link: ViewerLink) -> None:
    link.tool = "box"


def _commit(link: ViewerLink) -> None:
    link.session.commit_when_ready()


def _clear(link: ViewerLink) -> None:
    link.session.clear_prompts()


def _undo(link: ViewerLink) -> None:
    link.session.undo()


def _redo(link: ViewerLink) -> None:
    link.session.redo()


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
