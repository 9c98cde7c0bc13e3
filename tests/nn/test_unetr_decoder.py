"""micro-sam's decoder files: their real key layout, strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from napari_sam.errors import CheckpointError
from napari_sam.nn.unetr_decoder import UnetrDecoder, load_unetr_decoder


def published_layout(transposed: bool) -> dict[str, Tensor]:
    """Random tensors under the names and shapes of a published decoder file."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def add(name: str, *shape: int, bias: int | None = None) -> None:
        weight = torch.randn(shape, generator=generator)
        state[f"{name}.weight"] = weight * (2 / weight[0].numel()) ** 0.5
        state[f"{name}.bias"] = torch.zeros(shape[0] if bias is None else bias)

    def add_block(name: str, inputs: int, outputs: int) -> None:
        add(f"{name}.block.1", outputs, inputs, 3, 3)
        add(f"{name}.block.4", outputs, outputs, 3, 3)

    def add_upsampler(name: str, inputs: int, outputs: int) -> None:
        if transposed:
            add(f"{name}.block", inputs, outputs, 2, 2, bias=outputs)
        else:
            add(f"{name}.conv", outputs, inputs, 1, 1)

    widths = (256, 512, 256, 128, 64)
    for index in range(4):
        inputs, outputs = widths[index : index + 2]
        name = f"deconv{index + 1}.block"
        add_upsampler(f"{name}.0", inputs, outputs)
        add(f"{name}.1.block", outputs, outputs, 3, 3)
        for part in ("weight", "running_var"):
            state[f"{name}.2.{part}"] = torch.ones(outputs)
        for part in ("bias", "running_mean"):
            state[f"{name}.2.{part}"] = torch.zeros(outputs)
        state[f"{name}.2.num_batches_tracked"] = torch.tensor(7)
    add_block("base", 256, 512)
    for index, (inputs, outputs) in enumerate(((512, 256), (256, 128), (128, 64))):
        add_block(f"decoder.blocks.{index}", inputs, outputs)
        add_upsampler(f"decoder.samplers.{index}", inputs, outputs)
    add_upsampler("deconv_out", 64, 64)
    add_block("decoder_head", 128, 64)
    add("out_conv", 3, 64, 1, 1)
    return state


@pytest.mark.parametrize("transposed", [False, True])
def test_a_published_layout_loads_strictly_and_runs(
    tmp_path: Path, transposed: bool
) -> None:
    state = published_layout(transposed)
    assert UnetrDecoder(transposed).state_dict().keys() == state.keys()
    path = tmp_path / "vit_b_decoder.pt"
    torch.save(state, path)
    decoder = load_unetr_decoder(path)
    for name, tensor in decoder.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    maps = decoder(torch.randn(1, 256, 2, 3, generator=torch.Generator()))
    assert maps.shape == (1, 3, 32, 48)
    assert 0 <= maps.min() < maps.max() <= 1


def test_skips_are_joined_by_their_middle_channels() -> None:
    decoder = UnetrDecoder()
    seen: list[Tensor] = []
    decoder.deconv1.register_forward_hook(lambda *a: seen.append(a[-1]))
    decoder.decoder.blocks[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    decoder.eval()(torch.randn(1, 256, 2, 2))
    skip, joined = seen
    assert torch.equal(joined[:, 256:], skip[:, 128:384])


def test_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"out_conv.weight": torch.zeros(3, 64, 1, 1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a micro-sam decoder"):
        load_unetr_decoder(tmp_path / "other.pt")
