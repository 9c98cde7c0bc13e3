"""What a user set in napari's preferences for this plugin."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, cast, get_args

from napari_sam._napari.models import DEFAULT_MODEL
from napari_sam.nn.registry import list_models
from napari_sam.nn.storage import HOME_VARIABLE
from napari_sam.session.labels import OverlapRule

PLUGIN = "napari-sam-clip"


@dataclass(frozen=True)
class Preferences:
    """Settings at the start of a widget.

    Attributes
    ----------
    model, device, dtype : str
        As for `create_model`.
    overlap : {"keep", "overwrite", "background"}
    hover : bool
        Whether the mask under the pointer is shown.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    overlap: OverlapRule = "keep"
    hover: bool = False


def read_preferences() -> Preferences:
    """Return the user's settings; defaults where napari has none of ours."""
    settings = _settings()
    if settings is None:
        return Preferences()
    folder = str(settings.data_folder).strip()
    if folder:
        os.environ.setdefault(HOME_VARIABLE, folder)
    model = settings.default_model if settings.default_model in list_models() else None
    overlap = settings.overlap if settings.overlap in get_args(OverlapRule) else "keep"
    return Preferences(
        model or DEFAULT_MODEL,
        str(settings.device),
        str(settings.dtype),
        cast("OverlapRule", overlap),
        bool(settings.hover_preview),
    )


def _settings() -> Any:
    """Return our group of settings, or None: older naparis have no such thing."""
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(PLUGIN).segmentation
    except (AttributeError, ImportError, KeyError, ValueError):
        return None
