"""A time series of fluorescent cells that crawl, push each other and divide."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from napari_sam.synthetic.fields import FloatImage, fractal_noise
from napari_sam.synthetic.optics import blur, expose, illumination
from napari_sam.synthetic.relief import dome
from napari_sam.synthetic.scene import Canvas, Labels, SyntheticScene, largest_pieces
from napari_sam.synthetic.shapes import blob

Rng = np.random.Generator

_GROWTH = 1.025
_DIVIDING_AREA = 1.7


@dataclass
class _Cell:
    """One cell between two divisions; lengths in pixels, `area` in starting areas."""

    number: int
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    area: float
    aspect: float
    angle: float
    seed: int
    level: float


def dividing_cells(
    rng: Rng,
    shape: tuple[int, int, int],
    *,
    diameter: float = 18.0,
    count: int = 10,
) -> SyntheticScene:
    """Cells that keep their id while they move and pass it on to nobody.

    A dividing cell's id ends and two new ones begin in the next frame; `parents` of
    the result names the mother of each. Cells may leave the image and come back.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same series.
    shape : tuple of int
        (frames, rows, columns).
    diameter : float
        Of a young cell, in pixels.
    count : int
        Cells in the first frame.
    """
    cells = [_new_cell(rng, i + 1, shape) for i in range(count)]
    for _ in range(8):
        _push_apart(cells, diameter)
    texture = fractal_noise(rng, (256, 256), diameter * 0.25, 3)
    light = illumination(rng, shape[1:], 0.08)
    frames, truths = [], []
    parents: dict[int, int] = {}
    for _ in range(shape[0]):
        signal, labels = _render(cells, shape[1:], diameter, texture)
        truths.append(labels)
        image = (0.06 + blur(signal, 0.9) * 0.75) * light
        frames.append(expose(rng, image, photons=150, read_noise=0.012))
        cells = _step(rng, cells, diameter, parents)
    stack = np.stack(truths)
    present = {int(i) for i in np.unique(stack) if i}
    parents = {i: p for i, p in parents.items() if i in present and p in present}
    classes = dict.fromkeys(sorted(present), "cell")
    image_stack = np.stack(frames).astype(np.uint8)
    return SyntheticScene(image_stack, stack, classes, "fluorescence", {}, parents)


def _new_cell(rng: Rng, number: int, shape: tuple[int, int, int]) -> _Cell:
    return _Cell(
        number=number,
        position=rng.uniform(0.08, 0.92, 2) * np.asarray(shape[1:]),
        velocity=rng.normal(0, 1.0, 2),
        area=rng.uniform(1.0, _DIVIDING_AREA * 0.98),
        aspect=rng.uniform(1.05, 1.5),
        angle=rng.uniform(0, pi),
        seed=int(rng.integers(2**31)),
        level=rng.uniform(0.6, 1.0),
    )


def _step(
    rng: Rng, cells: list[_Cell], diameter: float, parents: dict[int, int]
) -> list[_Cell]:
    """Move, grow and divide; new ids follow the largest ever given."""
    for cell in cells:
        cell.velocity = 0.85 * cell.velocity + rng.normal(0, 0.7, 2)
        cell.position = cell.position + cell.velocity
        cell.angle += rng.normal(0, 0.08)
        cell.area *= _GROWTH
    for _ in range(4):
        _push_apart(cells, diameter)
    following: list[_Cell] = []
    last = max([*parents, *(cell.number for cell in cells)])
    for cell in cells:
        if cell.area < _DIVIDING_AREA:
            following.append(cell)
            continue
        daughters = _divide(rng, cell, last, diameter)
        parents.update({daughter.number: cell.number for daughter in daughters})
        following += daughters
        last += 2
    return following


def _push_apart(cells: list[_Cell], diameter: float) -> None:
    for i, one in enumerate(cells):
        for other in cells[i + 1 :]:
            gap = other.position - one.position
            distance = float(np.hypot(*gap)) or 1.0
            room = diameter / 2 * (one.area**0.5 + other.area**0.5)
            if distance < room:
                push = gap / distance * (room - distance) / 2
                one.position, other.position = (
                    one.position - push,
                    other.position + push,
                )


def _divide(rng: Rng, mother: _Cell, last: int, diameter: float) -> list[_Cell]:
    """Two daughters side by side along the mother's long axis."""
    axis = np.asarray([sin(mother.angle), cos(mother.angle)])
    return [
        _Cell(
            number=last + 1 + k,
            position=mother.position + side * axis * diameter * 0.45,
            velocity=mother.velocity * 0.5 + side * axis * 0.8,
            area=mother.area / 2 * rng.uniform(0.95, 1.1),
            aspect=rng.uniform(1.05, 1.3),
            angle=mother.angle + pi / 2 + rng.normal(0, 0.2),
            seed=int(rng.integers(2**31)),
            level=mother.level * rng.uniform(0.9, 1.1),
        )
        for k, side in enumerate((-1.0, 1.0))
    ]


def _render(
    cells: list[_Cell], shape: tuple[int, int], diameter: float, texture: FloatImage
) -> tuple[FloatImage, Labels]:
    """One frame without optics; each cell carries its own shape and texture along."""
    canvas = Canvas(shape)
    drawn: list[_Cell] = []
    for cell in cells:
        # A seed of its own gives the cell the same outline in every frame.
        outline = blob(
            np.random.default_rng(cell.seed),
            (float(cell.position[0]), float(cell.position[1])),
            diameter * cell.area**0.5,
            aspect=cell.aspect + 0.5 * max(cell.area - 0.9 * _DIVIDING_AREA, 0),
            irregularity=0.06,
            angle=cell.angle,
        )
        if canvas.put(outline, "cell", overlap=0.5):
            drawn.append(cell)
    rows, cols = canvas.offsets()
    shift = canvas.table([0.0, *(float(cell.seed % 251) for cell in drawn)])
    index = (rows + shift).astype(np.int32) % 256, (cols + shift).astype(np.int32) % 256
    level = canvas.table([0.0, *(cell.level for cell in drawn)])
    signal = level * dome(canvas, 0.35) * np.maximum(1 + 0.22 * texture[index], 0.2)
    numbers = np.asarray([0, *(cell.number for cell in drawn)], np.int32)
    return signal.astype(np.float32), largest_pieces(numbers[canvas.labels])
