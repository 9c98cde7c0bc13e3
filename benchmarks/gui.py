"""How long a person waits in the window.

Run ``xvfb-run -a python benchmarks/gui.py`` (or without xvfb-run on a real display);
needs the test dependencies. Prints: widget open to ready, from the call that napari's
menu makes, in a napari with an image, until the model has read the image; click to
drawn mask; previews under the pointer a second; memory after 200 objects, and whether
commits grow slower; and the longest stall of the window while a model of ViT-B's size
encodes. Beside them, what napari itself takes to
draw its window once, and to draw it after a click, before the widget is open: without a
graphics card that is a good part of every figure.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy import ndimage

MEASURES = ("napari", "opening", "clicks", "hover", "memory", "stall")
SIDE, PITCH = 1024, 64
NO_KEY = Qt.KeyboardModifier.NoModifier
LEFT = Qt.MouseButton.LeftButton
TICK_MS = 5
# A usual mouse tells where it is so often.
MOUSE_SECONDS = 1 / 60


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--no-vit", action="store_true", help="leave ViT-B out")
    parser.add_argument("--only", choices=MEASURES, nargs="+", default=MEASURES)
    options = parser.parse_args()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 950)
    viewer.add_image(draw_discs(), name="discs")
    settle(0.5)
    wanted = [each for each in options.only if each != "stall" or not options.no_vit]
    if "napari" in wanted:
        measure_napari()
    window = Window(viewer)
    if "opening" in wanted:
        print_opening(window)
    if set(wanted) & {"clicks", "hover"}:
        window.wait_until_read()
    if "clicks" in wanted:
        measure_clicks(window, options.clicks)
    if "hover" in wanted:
        measure_hover(window)
    if "memory" in wanted:
        measure_memory(window, options.objects)
    if "stall" in wanted:
        measure_stall(window)
    viewer.close()


def print_opening(window: Window) -> None:
    """Print how long the widget took to open, and what cannot be spared of it."""
    print_line("widget open to ready", f"{window.seconds_to_ready:.2f} s", "3 s")
    text = f"{window.seconds_to_build:.2f} s"
    print_line("  of it the window stands still", text, "none set")
    text = f"{window.work_to_ready:.2f} s"
    print_line("  processor's time of all threads", text, "none set")
    print_line("  a bare import of torch", f"{seconds_of_torch():.2f} s", "none set")


def print_line(name: str, value: str, target: str) -> None:
    print(f"{name:34s} {value}   (target {target})", flush=True)


def draw_discs() -> np.ndarray:
    """Bright discs on a dark, noisy ground, 1024 x 1024."""
    rows, cols = np.ogrid[:SIDE, :SIDE]
    near = (rows % PITCH - PITCH / 2) ** 2 + (cols % PITCH - PITCH / 2) ** 2 < 17**2
    noise = np.random.default_rng(0).normal(20, 4, (SIDE, SIDE))
    bright = ndimage.gaussian_filter(np.where(near, 180.0, 0.0), 1.2) + noise
    return bright.clip(0, 255).astype(np.uint8)


def print_times(name: str, seconds: list[float], target: str = "none set") -> None:
    middle, high = np.percentile(seconds, [50, 95]) * 1000
    print_line(name, f"p50 {middle:.0f} ms, p95 {high:.0f} ms", target)


def settle(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.002)


def wait(condition: Callable[[], Any], patience: float = 300) -> None:
    end = time.perf_counter() + patience
    while not condition():
        if time.perf_counter() > end:
            sys.exit("Waited too long.")
        QApplication.processEvents()
        time.sleep(0.002)


def find_canvas() -> Any:
    """Return the widget that shows the picture: the one a mouse is over."""
    return next(
        each
        for each in QApplication.allWidgets()
        if type(each).__name__ == "CanvasBackendDesktop"
    )


class Screen:
    """Counts the times that the window was drawn, to the last pixel."""

    def __init__(self, canvas: Any) -> None:
        self.canvas = canvas
        self.draws = 0
        canvas.frameSwapped.connect(self._drawn)

    def _drawn(self) -> None:
        self.draws += 1

    def wait_for_draw(self) -> None:
        """Let the window be drawn once more."""
        before = self.draws
        wait(lambda: self.draws > before)


def measure_napari(count: int = 20) -> None:
    """Time napari alone: a drawing of the window, and one after a click."""
    canvas = find_canvas()
    screen = Screen(canvas)
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    for name, act in (
        ("napari alone, its window drawn once", canvas.update),
        (
            "  after a click",
            lambda: QTest.mouseClick(canvas, LEFT, NO_KEY, middle),
        ),
    ):
        seconds = []
        for _ in range(count):
            settle(0.15)
            start = time.perf_counter()
            act()
            screen.wait_for_draw()
            seconds.append(time.perf_counter() - start)
        print_times(name, seconds)


class Window:
    """A viewer with the widget open, and a mouse."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        start, work = time.perf_counter(), time.process_time()
        _, widget = viewer.window.add_plugin_dock_widget(
            "napari-sam-clip", "SAM and words"
        )
        self.seconds_to_build = time.perf_counter() - start
        self.session, self.link = widget.session, widget.link
        wait(lambda: self.session.model_is_ready and not self.session.is_busy)
        self.seconds_to_ready = time.perf_counter() - start
        self.work_to_ready = time.process_time() - work
        self.canvas = find_canvas()
        self.screen = Screen(self.canvas)

    def wait_until_read(self) -> None:
        """Wait until "the embedding is there": the model has seen the whole image."""
        wait(lambda: not self.session.engine.ahead.is_going_on)
        settle(0.5)

    def place(self, row: float, col: float) -> QPoint:
        camera = self.viewer.scene.camera
        world = np.asarray(self.link.image.data_to_world((row, col)))
        offset = (world - np.asarray(camera.center)[-2:]) * camera.zoom
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        down, right = middle + offset
        return QPoint(round(right), round(down))

    @property
    def mask_layer(self) -> Any:
        return self.link._tools.mask


def seconds_of_torch() -> float:
    """Time what no window can spare its user: reading the library."""
    code = "import time; t = time.perf_counter(); import torch; "
    code += "print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return float(done.stdout)


def disc_centres(count: int) -> list[tuple[float, float]]:
    """Centres of discs that are well inside the image, all over it."""
    inner = range(PITCH + PITCH // 2, SIDE - PITCH, PITCH)
    places = [(float(row), float(col)) for row in inner for col in inner]
    order = np.random.default_rng(1).permutation(len(places))
    return [places[order[i % len(order)]] for i in range(count)]


def measure_clicks(window: Window, count: int) -> None:
    """Time from the mouse's press until the window is drawn with the mask."""
    seconds, worked, draws = [], [], []
    for number, place in enumerate(disc_centres(count + 5)):
        where = window.place(*place)
        QTest.mouseMove(window.canvas, where)
        settle(0.15)
        drawn = window.screen.draws
        start, busy = time.perf_counter(), time.process_time()
        QTest.mouseClick(window.canvas, LEFT, NO_KEY, where)
        wait(window.mask_layer.data.any)
        window.screen.wait_for_draw()
        took, work = time.perf_counter() - start, time.process_time() - busy
        settle(0.3)
        if number >= 5:
            seconds.append(took)
            worked.append(work)
            draws.append(window.screen.draws - drawn)
        window.session.clear_prompts()
        wait(lambda: not window.session.is_busy)
        settle(0.15)
    bare = float(np.median(bare_seconds(window, count)))
    print_times("click to drawn mask", seconds, "p95 150 ms")
    print_line("  a bare predict", f"{bare * 1000:.0f} ms", "none set")
    # What other work on the machine blurs less: the processor's time of all threads.
    print_times("  of it the processor's time", worked)
    text = f"{np.mean(draws):.1f} a click"
    print_line("  drawings of the window", text, "none set")


def bare_seconds(window: Window, count: int) -> list[float]:
    """Time the whole answer to a click, all scales, with no window about it."""
    predictor, seconds = window.session.engine.worker.predictor, []
    for place in disc_centres(count):
        start = time.perf_counter()
        predictor.predict(points=[place])
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_hover(window: Window, lasting: float = 5.0) -> None:
    """Count previews while the pointer moves over the image."""
    shown: list[Any] = []
    window.link.pointing.hover = True
    draw = window.link._tools.draw_mask
    window.link._tools.draw_mask = lambda found: (draw(found), shown.append(found))
    start = time.perf_counter()
    busy = time.process_time()
    while (passed := time.perf_counter() - start) < lasting:
        angle = passed * 2
        place = (512 + 200 * np.sin(angle), 512 + 200 * np.cos(angle))
        QTest.mouseMove(window.canvas, window.place(*place))
        QApplication.processEvents()
        time.sleep(MOUSE_SECONDS)
    worked = time.process_time() - busy
    window.link._tools.draw_mask = draw
    window.link.pointing.hover = False
    count = sum(each is not None for each in shown)
    print_line("previews under the pointer", f"{count / lasting:.1f} a second", "10")
    each = worked / max(count, 1) * 1000
    print_line("  processor's time of each", f"{each:.0f} ms", "none set")
    settle(0.5)


def measure_memory(window: Window, count: int) -> None:
    """Commit many objects: the memory they take, and whether commits grow slower."""
    session, link = window.session, window.link
    window.wait_until_read()
    before, seconds = resident_bytes(), []
    for place in all_discs()[:count]:
        session.add_point(place)
        wait(lambda: not session.is_busy and session.candidates is not None)
        start = time.perf_counter()
        session.commit()
        link.flush()
        window.screen.wait_for_draw()
        seconds.append(time.perf_counter() - start)
    settle(1.0)
    grown = (resident_bytes() - before) / 1e6
    made = len(session.document.objects)
    print_line(f"memory of {made} objects", f"{grown:.0f} MB", "none set")
    held = history_bytes(session.document.history) / 1e6
    print_line("  the arrays of the history", f"{held:.2f} MB", "none set")
    for name, part in (
        ("commit of the first 20", seconds[:20]),
        ("  of the last 20", seconds[-20:]),
    ):
        print_times(name, part)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print_line("peak of the process", f"{peak:.0f} MB", "none set")


def all_discs() -> list[tuple[float, float]]:
    """Centres of all discs, those at the border too, from all over the image."""
    steps = range(PITCH // 2, SIDE, PITCH)
    places = [(float(row), float(col)) for row in steps for col in steps]
    order = np.random.default_rng(2).permutation(len(places))
    return [places[each] for each in order]


def history_bytes(history: Any) -> int:
    """Sum the arrays that undo and redo need, each once."""
    arrays: dict[int, int] = {}
    for edit in history.done:
        kept = [part for patch in edit.patches for part in (patch.before, patch.after)]
        drafts = [each for c in edit.drafts for each in (c.before, c.after)]
        masks = [each.prompts.mask for each in drafts if each.prompts.mask]
        kept += [each.values for each in masks]
        arrays.update({id(each): each.nbytes for each in kept})
    return sum(arrays.values())


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def measure_stall(window: Window) -> None:
    """Find the longest time that the window stood still while ViT-B encoded."""
    from napari_sam import SamPredictor, create_model

    window.session.cancel()
    model = create_model("sam_vit_b", pretrained=False)
    ticks = [time.perf_counter()]
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.setInterval(TICK_MS)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start()
    start = time.perf_counter()
    window.session.use_predictor(SamPredictor(model))
    while window.session.is_busy:
        QApplication.processEvents()
        time.sleep(0.001)
    lasted = time.perf_counter() - start
    timer.stop()
    stall = max(b - a for a, b in pairwise(ticks)) * 1000
    text = f"{stall:.0f} ms while encoding {lasted:.1f} s"
    print_line("longest stall, ViT-B", text, "100 ms")


if __name__ == "__main__":
    main()
