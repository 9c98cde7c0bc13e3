"""Someone who opens the widget and uses mouse and keys on the canvas."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

PLUGIN, WIDGET = "napari-sam-clip", "SAM and words"
PATIENCE = 240
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier


class Person:
    """Opens the widget and uses mouse and keys on the canvas."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        _, self.widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        self.session, self.link = self.widget.session, self.widget.link
        self.wait(lambda: self.session.model_is_ready)
        self.rest()

    @property
    def canvas(self) -> Any:
        """The widget that shows the picture: the one a mouse is over."""
        main = self.widget.window()
        found = [
            each
            for each in main.findChildren(object)
            if type(each).__name__ == "CanvasBackendDesktop"
        ]
        return found[0]

    def wait(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.widget.status.text.text()
            QApplication.processEvents()
            time.sleep(0.005)

    def rest(self) -> None:
        """Wait until nothing is computed and everything is drawn."""
        self.wait(lambda: not self.session.is_busy)
        end = time.monotonic() + 0.4
        self.wait(lambda: time.monotonic() > end)
        self.link.flush()

    def point(self, *pixel: float) -> QPoint:
        """Where a pixel of the image is on the canvas."""
        world = np.asarray(self.link.image.data_to_world(pixel))
        shown = world[list(self.viewer.dims.displayed)]
        camera = self.viewer.scene.camera
        offset = (shown - np.asarray(camera.center)[-2:]) * camera.zoom
        size = np.array([self.canvas.height(), self.canvas.width()])
        row, col = np.round(size / 2 + offset).astype(int).tolist()
        return QPoint(col, row)

    def click(self, *pixel: float, button: Any = LEFT, modifier: Any = NONE) -> None:
        place = self.point(*pixel)
        QTest.mouseMove(self.canvas, place)
        QTest.mouseClick(self.canvas, button, modifier, place)
        self.rest()

    def drag(self, start: tuple[float, ...], stop: tuple[float, ...]) -> None:
        first, last = self.point(*start), self.point(*stop)
        QTest.mousePress(self.canvas, LEFT, NONE, first)
        for part in (0.3, 0.6, 1.0):
            QTest.mouseMove(self.canvas, first + (last - first) * part)
            QApplication.processEvents()
        QTest.mouseRelease(self.canvas, LEFT, NONE, last)
        self.rest()

    def press(self, key: Any, modifier: Any = NONE) -> None:
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key, modifier)
        self.rest()

    @property
    def mask(self) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self.session.candidates.mask
        return mask

    @property
    def labels(self) -> Any:
        return self.session.document.store.data


def middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    row, col = np.argwhere(mask).mean(axis=0)
    return float(row), float(col)
