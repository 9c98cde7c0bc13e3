"""Good checkpoints load in every container; bad ones give one clear error each."""

from __future__ import annotations

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from napari_sam.errors import CheckpointError
from napari_sam.nn.checkpoint import (
    ensure_checkpoint,
    inspect_checkpoint,
    load_checkpoint,
    verify_checkpoint,
)
from napari_sam.nn.containers import read_state_dict
from napari_sam.nn.registry import create_model
from napari_sam.nn.storage import WEIGHTS_FOLDER, digest_file, make_models_folder

State = dict[str, torch.Tensor]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


@pytest.fixture
def load(register: Any, path: Path) -> Callable[[], Any]:
    """Load ``path`` into a fresh tiny model."""
    register("tiny")
    return lambda: create_model("tiny", path, device="cpu", dtype="float32")


def assert_loaded(model: Any, state: State) -> None:
    loaded = model.state_dict()
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(loaded[key], value)


CONTAINERS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "model_state": lambda state: {"model_state": state, "decoder_state": {}},
    "prefixed": lambda state: {f"sam.{key}": state[key] for key in state},
    "prefixed in model_state": lambda state: {
        "model_state": {f"sam.{key}": state[key] for key in state},
        "epoch": 3,
    },
    "parallel": lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("zipped", [True, False])
def test_containers(
    load: Any, path: Path, tiny_state: State, container: str, zipped: bool
) -> None:
    content = CONTAINERS[container](tiny_state)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert_loaded(load(), tiny_state)


def test_safetensors_whatever_its_suffix(
    load: Any, path: Path, tiny_state: State
) -> None:
    safetensors.torch.save_file(tiny_state, path)
    model = load()
    assert_loaded(model, tiny_state)
    assert model.checkpoint_sha256 == digest_file(path).sha256


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_into_float32(
    load: Any, path: Path, tiny_state: State, dtype: torch.dtype
) -> None:
    stored = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in tiny_state.items()
    }
    torch.save(stored, path)
    model = load()
    weight = model.mask_decoder.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, stored["mask_decoder.weight"].float())


class Payload:
    """Unpickling this by the rules of pickle creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (open, (str(self.target), "w"))


def _zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def _legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _bare(protocol: int) -> Callable[[Any, Path], None]:
    def write(content: Any, path: Path) -> None:
        path.write_bytes(pickle.dumps(content, protocol=protocol))

    return write


WRITERS = {
    "zip": _zip,
    "legacy": _legacy,
    **{f"protocol {n}": _bare(n) for n in (0, 1, 2, 4, 5)},
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_malicious_pickle_runs_nothing(
    load: Any, path: Path, tiny_state: State, writer: str, suffix: str
) -> None:
    target = path.with_name("created")
    content = {"model_state": tiny_state, "trainer": Payload(target)}
    if writer in ("protocol 0", "protocol 1"):
        content = {"trainer": Payload(target)}
    WRITERS[writer](content, path)
    # The payload works where pickles are trusted, or this would test nothing.
    if writer in ("zip", "legacy"):
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert target.exists()
    target.unlink()
    with pytest.raises(CheckpointError):
        load()
    assert not target.exists()


class TrainerState:
    """Stands for what a training framework pickles beside the weights."""


@pytest.mark.parametrize("writer", ["zip", "legacy", "protocol 4"])
def test_trainer_state_is_refused_with_a_way_to_convert(
    load: Any, path: Path, tiny_state: State, writer: str
) -> None:
    WRITERS[writer]({"model_state": tiny_state, "trainer": TrainerState()}, path)
    with pytest.raises(CheckpointError, match="would run code") as caught:
        load()
    assert "export_custom_sam_model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_torchscript_is_refused(load: Any, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/constants.pkl", b"")
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        load()


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_truncated_file(
    load: Any, path: Path, tiny_state: State, kind: str, share: float
) -> None:
    if kind == "safetensors":
        safetensors.torch.save_file(tiny_state, path)
    else:
        WRITERS[kind](tiny_state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load()


@pytest.mark.parametrize("writer", ["zip", "legacy"])
@pytest.mark.parametrize("seed", range(60))
def test_damage_anywhere_is_one_kind_of_error(
    path: Path, writer: str, seed: int
) -> None:
    content = {"model_state": {"weight": torch.ones(8)}, "trainer": TrainerState()}
    WRITERS[writer](content, path)
    damaged = bytearray(path.read_bytes())
    generator = random.Random(seed)
    for _ in range(3):
        damaged[generator.randrange(len(damaged))] = generator.randrange(256)
    if seed % 5 == 0:
        del damaged[generator.randrange(len(damaged)) :]
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError):
        read_state_dict(path)


TEXTS = {
    b"<!DOCTYPE html>\n<html><body>404</body></html>": "web page",
    b"\n\n <html>Sign in</html>": "web page",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n": "Git LFS pointer",
    "Zugriff verweigert für dich".encode(): "text file",
    b'{"error": "quota exceeded"}': "text file",
    b"": "empty",
    bytes(range(255, 100, -1)): "neither a safetensors nor a PyTorch file",
}


@pytest.mark.parametrize("content", TEXTS, ids=list(TEXTS.values()))
def test_file_that_is_no_checkpoint(load: Any, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=TEXTS[content]):
        load()


def test_missing_file_and_folder(register: Any, tmp_path: Path) -> None:
    register("tiny")
    with pytest.raises(CheckpointError, match="does not exist"):
        create_model("tiny", tmp_path / "nowhere.pth", device="cpu")
    with pytest.raises(CheckpointError, match="is a folder"):
        create_model("tiny", tmp_path, device="cpu")


NO_STATES = {
    "list": [1, 2],
    "number under a key": {"weight": 3.5},
    "tensor": torch.zeros(3),
    "empty": {},
}


@pytest.mark.parametrize("kind", NO_STATES)
def test_file_without_a_state_dict(load: Any, path: Path, kind: str) -> None:
    torch.save(NO_STATES[kind], path)
    with pytest.raises(CheckpointError, match="state dict"):
        load()


def test_another_architecture_is_named(
    load: Any, path: Path, tiny_state: State
) -> None:
    key = "image_encoder.patch_embed.proj.weight"
    torch.save(tiny_state | {key: torch.zeros(1024, 3, 2, 2)}, path)
    with pytest.raises(CheckpointError, match=r"tiny \(vit_b\): it is a vit_l model"):
        load()


STRANGERS = {
    "image_encoder.trunk.pos_embed": "SAM 2",
    "deconv_out.weight": "decoder for automatic segmentation",
    "visual.conv1.weight": "CLIP",
    "backbone.weight": "no known model",
}


@pytest.mark.parametrize("key", STRANGERS)
def test_stranger_is_described(load: Any, path: Path, key: str) -> None:
    torch.save({key: torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=STRANGERS[key]):
        load()


def test_missing_and_surplus_keys(load: Any, path: Path, tiny_state: State) -> None:
    tiny_state["mask_decoder.extra"] = tiny_state.pop("mask_decoder.bias")
    torch.save(tiny_state, path)
    missing = r"1 missing \(mask_decoder.bias\) and 1 unknown \(mask_decoder.extra\)"
    with pytest.raises(CheckpointError, match=missing):
        load()


def test_wrong_shape(load: Any, path: Path, tiny_state: State) -> None:
    torch.save(tiny_state | {"mask_decoder.weight": torch.zeros(4, 5)}, path)
    with pytest.raises(CheckpointError, match=r"has shape \(4, 5\), not \(4, 4\)"):
        load()


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_wrong_dtype(
    load: Any, path: Path, tiny_state: State, dtype: torch.dtype
) -> None:
    torch.save(tiny_state | {"mask_decoder.weight": torch.ones(4, 4).to(dtype)}, path)
    with pytest.raises(CheckpointError, match=r"stores mask_decoder\.weight as"):
        load()


def test_sparse_tensor(load: Any, path: Path, tiny_state: State) -> None:
    torch.save(tiny_state | {"mask_decoder.weight": torch.eye(4).to_sparse()}, path)
    with pytest.raises(CheckpointError, match="sparse"):
        load()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_no_weight_can_have(
    load: Any, path: Path, tiny_state: State, value: float
) -> None:
    tiny_state["mask_decoder.bias"][2] = value
    torch.save(tiny_state, path)
    with pytest.raises(CheckpointError, match=r"NaN or infinite .* 1 of 9 tensors"):
        load()


def test_refused_file_leaves_the_model_as_it_was(
    register: Any, path: Path, tiny_model: Any, tiny_state: State
) -> None:
    register("tiny")
    before = {key: value.clone() for key, value in tiny_state.items()}
    torch.save(tiny_state | {"mask_decoder.bias": torch.full((4,), torch.nan)}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(tiny_model, "tiny", path)
    assert_loaded(tiny_model, before)


def test_damaged_published_file_is_not_loaded(register: Any, tiny_state: State) -> None:
    buffer = io.BytesIO()
    torch.save(tiny_state, buffer)
    path = make_models_folder() / "tiny.pth"
    path.write_bytes(buffer.getvalue())
    register("tiny", sha256=digest_file(path).sha256.upper())
    assert create_model("tiny", device="cpu").name == "tiny"
    content = bytearray(buffer.getvalue())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for check in (
        lambda: create_model("tiny", device="cpu"),
        lambda: verify_checkpoint("tiny", path),
        lambda: inspect_checkpoint("tiny"),
    ):
        with pytest.raises(CheckpointError, match="its sha256 is"):
            check()


def test_inspection_reads_the_weights_where_no_hash_is_published(
    register: Any, tiny_state: State
) -> None:
    register("tiny")
    path = make_models_folder() / "tiny.pth"
    torch.save(tiny_state, path)
    assert inspect_checkpoint("tiny").size == path.stat().st_size
    tiny_state["mask_decoder.bias"][:] = torch.nan
    torch.save(tiny_state, path)
    with pytest.raises(CheckpointError, match="NaN"):
        inspect_checkpoint("tiny")


def test_absent_model_says_how_to_get_it(register: Any) -> None:
    register("tiny")
    with pytest.raises(CheckpointError, match="models download tiny"):
        inspect_checkpoint("tiny")
    register("lost", bundled=True, url=None, filename="not there.safetensors")
    with pytest.raises(CheckpointError, match="reinstall"):
        ensure_checkpoint("lost")
    assert not (WEIGHTS_FOLDER / "not there.safetensors").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions")
def test_unreadable_file(path: Path) -> None:
    path.touch(mode=0o000)
    with pytest.raises(CheckpointError, match="Cannot read"):
        read_state_dict(path)
