"""Prompts, objects, undo and saving, with no window: `Session` drives it all."""

from __future__ import annotations

from napari_sam.session.runner import InlineRunner, ThreadRunner
from napari_sam.session.session import Session
from napari_sam.session.worker import ModelChoice

__all__ = ["InlineRunner", "ModelChoice", "Session", "ThreadRunner"]
