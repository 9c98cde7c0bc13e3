"""What pocket sees of a mask when it judges whether it is one object."""

from __future__ import annotations

import numpy as np
import torch

from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.nn.pocket_objects import HINTS, ObjectHead, describe_masks
from napari_sam.training.targets import dense_targets

SIDE, CHANNELS = 128, 8


def features(labels: np.ndarray, count: int) -> PocketFeatures:
    """What an encoder that knows the objects says, for so many windows."""
    foreground, centre, boundary, size = dense_targets(labels)
    # Maps have a sample for two pixels; sizes are in pixels.
    size = size + 1 / 8
    dense = np.stack([np.where(foreground > 0, 9.0, -9.0), centre, boundary, size])
    rng = torch.Generator().manual_seed(0)
    cells = torch.randn(1, CHANNELS, SIDE // 4, SIDE // 4, generator=rng)
    maps = torch.from_numpy(dense.astype(np.float32))[None]
    unused = torch.zeros(count, 1, 1, 1)
    return PocketFeatures(
        cells.expand(count, -1, -1, -1), unused, unused, maps.expand(count, -1, -1, -1)
    )


def disc(row: int, col: int, radius: int) -> np.ndarray:
    rows, cols = np.indices((SIDE, SIDE))
    return np.hypot(rows - row, cols - col) <= radius


def logits(*masks: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.where(np.stack(masks), 5.0, -5.0)[:, None]).float()


def test_half_an_object_looks_unlike_a_whole_one() -> None:
    whole = disc(60, 60, 20)
    half = whole & (np.indices(whole.shape)[1] < 60)
    seen = describe_masks(features(whole.astype(np.int32), 2), logits(whole, half))
    centre, boundary = 1, 2
    # On the rim of the whole the distances end; the half is cut through the middle.
    rim = slice(4, 8)
    assert seen[0, rim][boundary] < 0.5 * seen[1, rim][boundary]
    # Around the half there is foreground, and the dense size is an octave's half more.
    ring = slice(8, 12)
    assert seen[0, ring][0] < 0.1 < seen[1, ring][0]
    assert abs(seen[0, 3]) < 0.2
    assert 0.3 < seen[1, 3] < 0.7
    assert seen[0, centre] < 1


def test_masks_are_described_one_by_one() -> None:
    labels = disc(40, 40, 15).astype(np.int32)
    masks = [disc(40, 40, 15), disc(80, 80, 9), np.zeros((SIDE, SIDE), bool)]
    together = describe_masks(features(labels, 3), logits(*masks))
    assert torch.isfinite(together).all()
    for index, mask in enumerate(masks):
        alone = describe_masks(features(labels, 1), logits(mask))
        torch.testing.assert_close(alone[0], together[index])


def test_ratings_are_shares_and_far_values_are_cut_off() -> None:
    torch.manual_seed(0)
    head = ObjectHead(CHANNELS).eval()
    assert not head.is_fitted
    seen = torch.zeros(2, head.width)
    seen[1, :HINTS] = 1e9
    ratings = head.rate(seen)
    assert ((ratings > 0) & (ratings < 1)).all()
    seen[1, :HINTS] = 4.0
    torch.testing.assert_close(head.rate(seen), ratings)
