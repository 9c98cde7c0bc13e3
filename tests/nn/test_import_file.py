"""Importing checkpoint files: published ones by hash, others by their layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_sam.errors import CheckpointError, ModelError
from napari_sam.nn.import_file import import_checkpoint
from napari_sam.nn.imported import record_path
from napari_sam.nn.registry import create_model, list_models, model_config
from napari_sam.nn.storage import digest_file, models_folder

State = dict[str, torch.Tensor]


@pytest.fixture
def file(tmp_path: Path, tiny_state: State) -> Path:
    """A checkpoint that looks like a ViT-B."""
    path = tmp_path / "fetched elsewhere.bin"
    torch.save({"model_state": {f"sam.{k}": v for k, v in tiny_state.items()}}, path)
    return path


def assert_loads(name: str, state: State) -> None:
    loaded = create_model(name, device="cpu", dtype="float32").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize("kind", ["sha256", "xxh128"])
def test_published_file_is_recognised_by_its_hash(
    register: Any, file: Path, tiny_state: State, kind: str
) -> None:
    register("another", sha256="0" * 64, xxh128="0" * 32)
    register("tiny", **{kind: getattr(digest_file(file), kind)})
    assert import_checkpoint(file) == "tiny"
    assert (models_folder() / "tiny.pth").read_bytes() == file.read_bytes()
    assert file.exists()
    assert_loads("tiny", tiny_state)


def test_file_already_in_its_place_may_be_imported(
    register: Any, file: Path, tiny_state: State
) -> None:
    register("tiny", sha256=digest_file(file).sha256)
    import_checkpoint(file)
    assert import_checkpoint(models_folder() / "tiny.pth") == "tiny"
    assert_loads("tiny", tiny_state)


def test_unpublished_file_gets_the_users_name(
    register: Any, file: Path, tiny_state: State
) -> None:
    register("tiny", normalisation="micro_sam")
    assert import_checkpoint(file, name="my.cells", like="tiny") == "my.cells"
    assert list_models()[-1] == "my.cells"
    config = model_config("my.cells")
    assert config.normalisation == "micro_sam"
    assert config.url is None
    assert str(file) in config.source
    assert sorted(p.name for p in models_folder().iterdir()) == [
        "my.cells.imported.json",
        "my.cells.safetensors",
    ]
    assert_loads("my.cells", tiny_state)


def test_ambiguous_file_names_the_candidates(register: Any, file: Path) -> None:
    register("tiny")
    for name in (None, "mine"):
        with pytest.raises(ModelError, match=r"a vit_b model but .*vit_b_lm.*tiny"):
            import_checkpoint(file, name=name)
    assert not models_folder().exists() or not list(models_folder().iterdir())


def test_published_name_needs_the_published_file(register: Any, file: Path) -> None:
    register("tiny", sha256="0" * 64)
    with pytest.raises(ModelError, match="not its published one"):
        import_checkpoint(file, name="tiny")


def test_file_needs_a_name_even_if_it_is_clear_what_it_is_like(
    register: Any, file: Path
) -> None:
    register("tiny")
    with pytest.raises(ModelError, match="give it a name"):
        import_checkpoint(file, like="tiny")


def test_unique_architecture_needs_no_example(tmp_path: Path) -> None:
    model = create_model("pocket", device="cpu", dtype="float32", pretrained=False)
    path = tmp_path / "tuned.pth"
    torch.save(model.state_dict(), path)
    assert import_checkpoint(path, name="tuned") == "tuned"
    assert model_config("tuned").normalisation == "pocket"
    assert_loads("tuned", dict(model.state_dict()))


@pytest.mark.parametrize("name", ["../up", "", "-x", "a b", "x" * 65, "é"])
def test_name_must_be_safe_as_a_file_name(register: Any, file: Path, name: str) -> None:
    register("tiny")
    with pytest.raises(ModelError, match="cannot name a model"):
        import_checkpoint(file, name=name, like="tiny")


def test_imported_name_is_taken(register: Any, file: Path) -> None:
    register("tiny")
    import_checkpoint(file, name="mine", like="tiny")
    with pytest.raises(ModelError, match="is taken"):
        import_checkpoint(file, name="mine", like="tiny")


def test_file_must_fit_what_it_is_said_to_be_like(register: Any, file: Path) -> None:
    register("tiny", architecture="vit_l")
    with pytest.raises(CheckpointError, match="it is a vit_b model"):
        import_checkpoint(file, name="mine", like="tiny")
    with pytest.raises(CheckpointError, match=r"does not fit sam_vit_b"):
        import_checkpoint(file, name="mine", like="sam_vit_b")
    with pytest.raises(ModelError, match="no model named"):
        import_checkpoint(file, name="mine", like="nothing")


def test_unknown_layers_need_an_example(register: Any, tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    torch.save({"backbone.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"of no known model .*--like"):
        import_checkpoint(path, name="mine")


def test_nan_filled_file_is_not_imported(
    register: Any, file: Path, tiny_state: State
) -> None:
    register("tiny")
    tiny_state["mask_decoder.bias"][:] = torch.nan
    torch.save(tiny_state, file)
    with pytest.raises(CheckpointError, match="NaN"):
        import_checkpoint(file, name="mine", like="tiny")
    assert "mine" not in list_models()


GOOD_RECORD = {
    "name": "mine",
    "like": "tiny",
    "filename": "mine.safetensors",
    "sha256": "0",
    "size": 1,
    "origin": "x",
}


@pytest.mark.parametrize(
    "record",
    [
        "not json",
        "[]",
        '{"name": "mine"}',
        json.dumps(GOOD_RECORD | {"filename": "../../mine"}),
        json.dumps(GOOD_RECORD | {"name": "a/b"}),
    ],
)
def test_broken_record_hides_no_model(register: Any, record: str) -> None:
    register("tiny")
    before = list_models()
    models_folder().mkdir(parents=True)
    record_path("mine").write_text(record)
    assert list_models() == before
    record_path("mine").write_text(json.dumps(GOOD_RECORD))
    assert list_models() == [*before, "mine"]


def test_record_of_a_model_that_is_gone_is_left_out(register: Any, file: Path) -> None:
    register("tiny")
    import_checkpoint(file, name="mine", like="tiny")
    text = record_path("mine").read_text().replace('"tiny"', '"gone"')
    record_path("mine").write_text(text)
    assert "mine" not in list_models()
