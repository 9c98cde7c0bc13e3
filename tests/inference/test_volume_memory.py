from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_sam.inference.volume import VolumeSegmenter, clicks_in_volume
from napari_sam.inference.volume_steps import PropagationSettings

from .volume_fakes import BrightPredictor, balls

# A volume of 8 GB in a process that may take 700 MB more than it has: an attempt to
# read it whole, or to hold ids for all of it, fails.
SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from napari_sam.inference.volume import VolumeSegmenter, clicks_in_volume
from volume_fakes import BrightPredictor

SHAPE = 4000, 1000, 1000

def plane(index):
    values = np.full(SHAPE[1:], 200, np.uint16)
    if 1990 <= index < 2030:
        values[400:440, 300:350] = 3000
    return values

class Endless:
    shape, dtype = SHAPE, np.dtype(np.uint16)
    def __getitem__(self, key):
        return plane(key[0])

def in_zarr(folder):
    import zarr
    volume = zarr.create_array(
        folder, shape=SHAPE, chunks=(1, *SHAPE[1:]), dtype="uint16", fill_value=200
    )
    for index in range(1990, 2030):
        volume[index] = plane(index)
    return volume

volume = in_zarr(sys.argv[1]) if len(sys.argv) > 1 else Endless()
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = now + 700_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    np.zeros(SHAPE, np.uint16)
except MemoryError:
    pass
else:
    raise SystemExit("the limit does not hold")
segmenter = VolumeSegmenter(BrightPredictor())
planes = segmenter.open(volume, cache_bytes=100_000_000)
found = segmenter.propagate(planes, clicks_in_volume([(2010, 420, 320)]))
assert found.indices == list(range(1990, 2030)), found.indices
assert found.objects[1].voxels == 40 * 40 * 50
"""


def run_limited(*arguments: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_volume_larger_than_the_memory_allowed() -> None:
    run_limited()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_zarr_volume_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    run_limited(str(tmp_path / "volume.zarr"))


def test_dask_volumes_are_read_slice_by_slice() -> None:
    array = pytest.importorskip("dask.array")
    labels = balls((24, 44, 48), [(8, 10, 12)], 6.5)
    volume = np.where(labels > 0, 3000, 200).astype(np.uint16)
    settings = PropagationSettings(max_area_ratio=6, min_overlap=0.1)
    segmenter = VolumeSegmenter(BrightPredictor(), settings)  # type: ignore[arg-type]
    lazy = array.from_array(volume, chunks=(1, 44, 48))
    found = segmenter.propagate(lazy, clicks_in_volume([(8, 10, 12)]))
    np.testing.assert_array_equal(found.labels(), labels)
