"""The embedding cache: what it keeps, and what it must never give back."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_sam.inference import embeddings
from napari_sam.inference.embeddings import EmbeddingCache, entry_key
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.sam import assemble_sam
from napari_sam.nn.tiny_vit import TinyViTEncoder
from napari_sam.structures import PointPrompt, PromptSet

CLICK = PromptSet(points=(PointPrompt((30, 40)),))


def make_pocket() -> SamPredictor:
    torch.manual_seed(0)
    model = Pocket().eval()
    prompts = frozenset({"point", "box", "mask"})
    model.config = SimpleNamespace(normalisation="pocket", prompts=prompts)
    return SamPredictor(model)


def make_sam() -> SamPredictor:
    torch.manual_seed(0)
    return SamPredictor(assemble_sam(TinyViTEncoder(), image_size=256))


@pytest.fixture(params=[make_pocket, make_sam], ids=["pocket", "sam"])
def predictor(request: pytest.FixtureRequest) -> SamPredictor:
    made: SamPredictor = request.param()
    return made


def image_of(predictor: SamPredictor, seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).integers(0, 255, (80, 96), dtype=np.uint8)
    return predictor.preprocess(raw)


def count_encodings(
    predictor: SamPredictor, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    calls: list[int] = []
    encode = predictor.framing.encode

    def counting(image):  # type: ignore[no-untyped-def]
        calls.append(1)
        return encode(image)

    monkeypatch.setattr(predictor.framing, "encode", counting)
    return calls


def test_an_image_is_encoded_once(
    predictor: SamPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_encodings(predictor, monkeypatch)
    cache, pixels = EmbeddingCache(), image_of(predictor, 0)
    first = cache.embed(predictor, pixels)
    assert cache.embed(predictor, pixels.copy()) is first
    assert cache.embed(predictor, image_of(predictor, 1)) is not first
    assert len(calls) == 2


def test_a_file_gives_the_same_masks_in_another_run(
    predictor: SamPredictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pixels = image_of(predictor, 0)
    predictor.set_embedding(EmbeddingCache(folder=tmp_path).embed(predictor, pixels))
    expected = predictor.predict(CLICK)
    calls = count_encodings(predictor, monkeypatch)
    predictor.set_embedding(EmbeddingCache(folder=tmp_path).embed(predictor, pixels))
    found = predictor.predict(CLICK)
    assert not calls
    np.testing.assert_allclose(found.low_res_masks, expected.low_res_masks, atol=1e-3)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("harm", ["truncate", "flip", "rename", "text"])
def test_a_damaged_file_is_never_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harm: str
) -> None:
    predictor = make_sam()
    pixels = image_of(predictor, 0)
    EmbeddingCache(folder=tmp_path).embed(predictor, pixels)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if harm == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "flip":
        content[-5] ^= 1
        path.write_bytes(content)
    elif harm == "text":
        path.write_text("no embedding")
    else:
        pixels = image_of(predictor, 1)
        path.rename(path.with_stem(entry_key(predictor, pixels)))
    calls = count_encodings(predictor, monkeypatch)
    found = EmbeddingCache(folder=tmp_path).embed(predictor, pixels)
    assert len(calls) == 1
    assert found.image_shape == (80, 96)


def test_other_weights_names_and_number_types_have_other_entries() -> None:
    predictor = make_sam()
    pixels = image_of(predictor, 0)
    keys = [entry_key(predictor, pixels)]
    assert entry_key(predictor, pixels) == keys[0]
    assert entry_key(make_sam(), pixels) == keys[0]
    with torch.no_grad():
        next(predictor.model.image_encoder.parameters()).mul_(1.01)
    keys.append(entry_key(predictor, pixels))
    predictor.model.compute_dtype = torch.bfloat16
    keys.append(entry_key(predictor, pixels))
    predictor.model.name = "another"
    keys.append(entry_key(predictor, pixels))
    keys.append(entry_key(predictor, pixels.transpose(0, 2, 1)))
    assert len(set(keys)) == 5


def test_memory_is_bounded_and_the_least_recently_used_goes(
    predictor: SamPredictor,
) -> None:
    images = [image_of(predictor, seed) for seed in range(3)]
    one = EmbeddingCache().embed(predictor, images[0]).nbytes
    assert one > 100_000
    cache = EmbeddingCache(kept_bytes=int(2.5 * one))
    first, second = (cache.embed(predictor, each) for each in images[:2])
    assert cache.embed(predictor, images[0]) is first
    cache.embed(predictor, images[2])
    assert len(cache) == 2
    assert cache.nbytes <= 2.5 * one
    assert cache.embed(predictor, images[0]) is first
    assert cache.embed(predictor, images[1]) is not second


def test_a_pyramid_counts_with_the_blocks_it_grew() -> None:
    predictor = make_pocket()
    cache = EmbeddingCache()
    predictor.set_embedding(cache.embed(predictor, image_of(predictor, 0)))
    before = cache.nbytes
    predictor.predict(box=(10, 10, 16, 16))
    assert cache.nbytes > before
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_threads_that_want_one_image_encode_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = make_sam()
    calls = count_encodings(predictor, monkeypatch)
    cache, pixels = EmbeddingCache(), image_of(predictor, 0)
    found: list[object] = []
    threads = [
        Thread(target=lambda: found.append(cache.embed(predictor, pixels)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert len(calls) == 1


def test_a_folder_that_cannot_be_written_costs_only_the_file(tmp_path: Path) -> None:
    predictor = make_sam()
    (tmp_path / "taken").write_text("")
    cache = EmbeddingCache(folder=tmp_path / "taken" / "folder")
    assert cache.embed(predictor, image_of(predictor, 0)).image_shape == (80, 96)


def test_a_file_appears_only_when_it_is_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    predictor = make_sam()

    def breaks(_tensors: object, path: Path, _metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(embeddings, "save_file", breaks)
    EmbeddingCache(folder=tmp_path).embed(predictor, image_of(predictor, 0))
    assert not list(tmp_path.iterdir())
