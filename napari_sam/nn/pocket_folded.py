"""`PocketImageEncoder` without gradients: convolutions do the work of its norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_sam.nn.pocket_encoder import PocketFeatures, PocketImageEncoder
from napari_sam.nn.versions import Versions


class FoldedEncoder:
    """Encodes as a `PocketImageEncoder` in eval mode does, in fewer steps.

    Parameters
    ----------
    encoder : PocketImageEncoder
        In eval mode. Its weights are read here: see `is_current`.

    Attributes
    ----------
    encoder : PocketImageEncoder
        What runs.
    """

    @torch.no_grad()
    def __init__(self, encoder: PocketImageEncoder) -> None:
        self._read = Versions([*encoder.parameters(), *encoder.buffers()])
        # Not a deep copy, which would take over hooks, nor one that first draws weights
        # and so moves on whoever else draws numbers.
        with torch.device("meta"):
            folded = PocketImageEncoder(encoder.width).eval()
        folded.load_state_dict(encoder.state_dict(), assign=True)
        fold_norms(folded)
        # As the images are, or each convolution would reorder its weights anew.
        self.encoder = folded.to(memory_format=torch.channels_last)

    def is_current(self) -> bool:
        """Whether the encoder's weights are still those that were read."""
        return self._read.are_current()

    def __call__(self, windows: Tensor) -> PocketFeatures:
        """Encode windows; see `PocketImageEncoder.forward`."""
        features: PocketFeatures = self.encoder(windows)
        return features


def fold_norms(module: nn.Module) -> None:
    """Let each convolution that a batch norm follows do that norm's work too.

    Parameters
    ----------
    module : nn.Module
        Changed in place; in eval mode.
    """
    for name, child in module.named_children():
        if _is_normed_convolution(child):
            convolution, norm, *rest = child.children()
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            folded = fuse_conv_bn_eval(convolution, norm)
            setattr(module, name, nn.Sequential(folded, *rest))
        else:
            fold_norms(child)


def _is_normed_convolution(module: nn.Module) -> bool:
    first = [type(each) for each in list(module.children())[:2]]
    return isinstance(module, nn.Sequential) and first == [nn.Conv2d, nn.BatchNorm2d]
