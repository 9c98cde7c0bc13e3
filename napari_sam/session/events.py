"""What a session tells: one signal for each thing that can change."""

from __future__ import annotations

from psygnal import Signal, SignalGroup

from napari_sam.session.drafts import Draft
from napari_sam.session.labels import Patch


class SessionEvents(SignalGroup):
    """Signals of a session; all are emitted on the thread that owns it.

    Attributes
    ----------
    prompts : Signal(Draft)
        The draft of the current plane.
    mask : Signal(Candidates or None)
        Masks for the draft or under the pointer.
    objects : Signal()
        The table of objects.
    labels : Signal(Patch)
        A box of the label array was written.
    history : Signal()
        What can be undone or redone.
    view : Signal(ImageView or None)
        What the model is shown.
    model : Signal()
        The model, or the state it is in.
    busy : Signal(bool)
    progress : Signal(int, int)
        Steps done and steps in all; 0 of 0 where it is not known.
    status : Signal(str)
        A sentence on what is going on.
    failed : Signal(Exception)
    """

    prompts = Signal(Draft)
    mask = Signal(object)
    objects = Signal()
    labels = Signal(Patch)
    history = Signal()
    view = Signal(object)
    model = Signal()
    busy = Signal(bool)
    progress = Signal(int, int)
    status = Signal(str)
    failed = Signal(Exception)
