"""What a user set in napari's preferences for this plugin."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from napari.utils.colormaps.standardize_color import transform_color

from napari_sam._napari.layers import Colours
from napari_sam._napari.models import DEFAULT_MODEL
from napari_sam.nn.registry import list_models
from napari_sam.nn.storage import HOME_VARIABLE
from napari_sam.session.labels import OverlapRule

PLUGIN = "napari-sam-clip"
DEFAULT_CACHE = 512_000_000


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
    cache_bytes : int
        Memory for the slices of a stack.
    colours : Colours
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    overlap: OverlapRule = "keep"
    hover: bool = False
    cache_bytes: int = DEFAULT_CACHE
    colours: Colours = field(default_factory=Colours)


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
        max(int(settings.cache_megabytes), 1) * 1_000_000,
        Colours(
            *(
                _colour(getattr(settings, f"{name}_colour"), getattr(Colours, name))
                for name in ("mask", "positive", "negative")
            )
        ),
    )


def _colour(wanted: str, default: str) -> str:
    """Return a colour that napari knows; the default for any other."""
    try:
        transform_color(wanted)
    except (ValueError, KeyError, TypeError, AttributeError):
        return default
    return str(wanted)


def _nothing_is_saved(config_path: Any) -> bool:
    """Whether all our settings are as in the manifest.

    Each change is kept in a file beside napari's own. Asked for the settings of one
    plugin, napari reads the manifests of all anew, which a start without any can spare.
    """
    if config_path is None:
        return False
    return not Path(config_path).with_name(f"{PLUGIN}.yaml").exists()


def _settings() -> Any:
    """Return our group of settings; None if unchanged, or in older naparis."""
    try:
        from napari.settings import get_plugin_settings, get_settings

        if _nothing_is_saved(get_settings().config_path):
            return None
        return get_plugin_settings(PLUGIN).segmentation
    except (AttributeError, ImportError, KeyError, ValueError):
        return None
