"""Make the pictures of the window that the README shows.

Run ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_media.py``; writes into
``docs/media``: the window in both themes, each section of the widget, an animation of
click, commit, words and accept, and a stack filled from clicks, seen in 3D.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

MEDIA = Path(__file__).parent / "media"
SAMPLE = "histology_nuclei"
PATIENCE = 300.0
FRAME_MS = 900
WIDEST = 800
COLOURS = 80
STACK = "nuclei_volume"
VOLUME = "Volume / time"


class Stage:
    """A viewer with a sample and the widget, and a hand on the mouse."""

    def __init__(self, theme: str, sample: str = SAMPLE) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.theme = theme
        self.viewer.window.resize(1360, 900)
        self.viewer.open_sample("napari-sam-clip", sample)
        dock, self.widget = self.viewer.window.add_plugin_dock_widget(
            "napari-sam-clip", "SAM and words"
        )
        self.dock = dock
        self.session, self.link = self.widget.session, self.widget.link
        self.wait(lambda: self.session.model_is_ready)
        self.rest()

    def wait(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("The window did not get ready in time.")
            QApplication.processEvents()
            time.sleep(0.005)

    def rest(self) -> None:
        self.wait(lambda: not self.session.is_busy)
        end = time.monotonic() + 0.5
        self.wait(lambda: time.monotonic() > end)

    def click(self, *pixel: float, button: Any = None) -> None:
        canvas = next(
            each
            for each in self.widget.window().findChildren(object)
            if type(each).__name__ == "CanvasBackendDesktop"
        )
        camera = self.viewer.scene.camera
        world = np.asarray(self.link.image.data_to_world(pixel))[-2:]
        offset = (world - np.asarray(camera.center)[-2:]) * camera.zoom
        place = QPoint(
            round(canvas.width() / 2 + offset[1]),
            round(canvas.height() / 2 + offset[0]),
        )
        left = Qt.MouseButton.LeftButton
        modifier = Qt.KeyboardModifier.NoModifier
        QTest.mouseMove(canvas, place)
        QTest.mouseClick(canvas, button or left, modifier, place)
        self.rest()

    def picture(self) -> NDArray[np.uint8]:
        shot = self.viewer.screenshot(canvas_only=False, flash=False)
        return np.asarray(shot)[..., :3]

    def save(self, name: str) -> None:
        Image.fromarray(self.picture()).save(MEDIA / name, optimize=True)

    def save_sections(self, *titles: str) -> None:
        for title in titles or self.widget.sections:
            section = self.widget.sections[title]
            section.open(True)
            self.rest()
            name = "_".join(title.lower().replace("/", " ").split())
            if section.isVisible():
                section.grab().save(str(MEDIA / f"section_{name}.png"))

    def close(self) -> None:
        self.viewer.close()
        QApplication.processEvents()


def centres(
    labels: NDArray[Any], count: int, margin: int = 30
) -> list[tuple[float, float]]:
    """Return middles of large objects that are well inside the image."""
    height, width = labels.shape
    ids, areas = np.unique(labels[labels > 0], return_counts=True)
    found = []
    for number in ids[np.argsort(-areas)]:
        row, col = np.argwhere(labels == number).mean(axis=0)
        inside = margin < row < height - margin and margin < col < width - margin
        if inside and labels[int(row), int(col)] == number:
            found.append((float(row), float(col)))
    return found[:count]


def play(stage: Stage) -> list[NDArray[np.uint8]]:
    """Click, commit, click again, ask in words, accept; return a picture of each."""
    truth = stage.viewer.layers[f"{SAMPLE} truth"].data
    frames = [stage.picture()]
    for row, col in centres(truth, 3):
        stage.click(row, col)
        frames.append(stage.picture())
        stage.save_sections("Masks")
        stage.session.commit_when_ready()
        stage.rest()
        frames.append(stage.picture())
    panel = stage.widget.panels["Text"][0]
    panel.phrases.setPlainText("nuclei")
    QTest.keyClick(panel.phrases, Qt.Key.Key_Return)
    stage.rest()
    frames += [stage.picture()]
    stage.save_sections("Text")
    if stage.widget.proposals.shown:
        panel.accept.click()
        stage.rest()
        frames.append(stage.picture())
    return frames


def fill_stack(stage: Stage) -> None:
    """Click on nuclei of one slice and let all of them be followed."""
    truth = stage.viewer.layers[f"{STACK} truth"].data
    index = len(truth) // 2
    stage.viewer.dims.set_current_step(0, index)
    stage.rest()
    for place in centres(truth[index], 6, 8):
        stage.click(index, *place)
        stage.session.commit_when_ready()
        stage.rest()
    stage.widget.panels[VOLUME][0].all.click()
    stage.rest()


def show_section(stage: Stage, title: str) -> None:
    """Fold the other sections away."""
    for name, section in stage.widget.sections.items():
        section.open(name == title)
    stage.rest()


def write_animation(frames: list[NDArray[np.uint8]], path: Path) -> None:
    """Write pictures as a GIF of few colours."""
    height, width = frames[0].shape[:2]
    size = (WIDEST, round(height * WIDEST / width))
    small = [Image.fromarray(each).resize(size) for each in frames]
    few = [each.quantize(COLOURS, dither=Image.Dither.NONE) for each in small]
    few[0].save(path, save_all=True, append_images=few[1:], duration=FRAME_MS, loop=0)


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=MEDIA)
    globals()["MEDIA"] = parser.parse_args().out
    MEDIA.mkdir(parents=True, exist_ok=True)
    # Nobody's own journal may offer itself in the pictures.
    os.environ["NAPARI_SAM_HOME"] = tempfile.mkdtemp()
    stage = Stage("dark")
    write_animation(play(stage), MEDIA / "click_words_accept.gif")
    stage.save("window_dark.png")
    stage.save_sections(*set(stage.widget.sections) - {"Masks", "Text"})
    stage.viewer.theme = "light"
    stage.rest()
    stage.save("window_light.png")
    stage.close()
    stack = Stage("dark", STACK)
    fill_stack(stack)
    show_section(stack, VOLUME)
    stack.save_sections(VOLUME)
    stack.save("window_stack.png")
    stack.widget.panels[VOLUME][0].view_3d.click()
    stack.rest()
    # In 3D each drawing takes long, and the section is laid out in several.
    stack.rest()
    stack.save("window_stack_3d.png")
    stack.close()


if __name__ == "__main__":
    main()
