"""Downloads against a server on this machine, well and badly behaved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_sam.errors import CheckpointError, DownloadError
from napari_sam.nn import create
from napari_sam.nn.download import download_model, find_checkpoint
from napari_sam.nn.storage import digest_file, home_folder, models_folder


@pytest.fixture
def published(shelf: Any, register: Any) -> Any:
    """A model of which the server holds the published file."""
    return register(
        "published", url=f"{shelf.address}/here/weights", sha256=shelf.sha256
    )


def leftovers() -> list[str]:
    return sorted(p.name for p in models_folder().iterdir() if p.suffix != ".lock")


def test_download_puts_the_published_file_in_place(shelf: Any, published: Any) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download_model("published", progress=lambda *at: seen.append(at))
    assert path == models_folder() / "published.pth"
    assert path.read_bytes() == shelf.content
    assert leftovers() == ["published.pth"]
    assert seen[-1] == (len(shelf.content), len(shelf.content))
    assert find_checkpoint("published") == path


def test_present_file_is_not_fetched_again(shelf: Any, published: Any) -> None:
    download_model("published")
    download_model("published")
    assert len(shelf.requests) == 1
    download_model("published", force=True)
    assert len(shelf.requests) == 2


def test_interrupted_transfer_leaves_no_file_and_resumes(
    shelf: Any, published: Any
) -> None:
    shelf.break_after = 300_000
    with pytest.raises(DownloadError, match="broke off"):
        download_model("published")
    assert find_checkpoint("published") is None
    assert leftovers() == ["published.pth.part"]
    had = (models_folder() / "published.pth.part").stat().st_size
    seen: list[tuple[int, int | None]] = []
    path = download_model("published", progress=lambda *at: seen.append(at))
    assert path.read_bytes() == shelf.content
    assert [wanted for _, wanted in shelf.requests] == ["bytes=0-", f"bytes={had}-"]
    assert had > 0
    assert seen[-1] == (len(shelf.content), len(shelf.content))


def test_server_without_ranges_restarts_cleanly(shelf: Any, published: Any) -> None:
    shelf.honours_ranges = False
    shelf.break_after = 300_000
    with pytest.raises(DownloadError):
        download_model("published")
    assert download_model("published").read_bytes() == shelf.content


def test_part_of_another_version_is_thrown_away(shelf: Any, published: Any) -> None:
    models_folder().mkdir(parents=True)
    (models_folder() / "published.pth.part").write_bytes(b"of an older version")
    assert download_model("published").read_bytes() == shelf.content
    assert len(shelf.requests) == 2


def test_complete_part_is_taken_as_it_is(shelf: Any, published: Any) -> None:
    models_folder().mkdir(parents=True)
    (models_folder() / "published.pth.part").write_bytes(shelf.content)
    assert download_model("published").read_bytes() == shelf.content


def test_cancelled_transfer_keeps_its_part(shelf: Any, published: Any) -> None:
    def cancel(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_model("published", progress=cancel)
    assert leftovers() == ["published.pth.part"]


def test_wrong_hash_is_refused_and_deleted(shelf: Any, register: Any) -> None:
    register("published", url=f"{shelf.address}/weights", sha256="0" * 64)
    with pytest.raises(CheckpointError, match="another file than the published"):
        download_model("published")
    assert leftovers() == []


def test_xxh128_alone_verifies_too(shelf: Any, register: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(shelf.content)
    url = f"{shelf.address}/weights"
    register("good", url=url, xxh128=digest_file(copy).xxh128)
    register("bad", url=url, xxh128="0" * 32)
    assert download_model("good").exists()
    with pytest.raises(CheckpointError, match="another file than the published"):
        download_model("bad")
    assert find_checkpoint("bad") is None


def test_login_page_is_named_as_such(shelf: Any, published: Any) -> None:
    shelf.content = b"<!DOCTYPE html><html>Please log in.</html>"
    with pytest.raises(CheckpointError, match="a web page or text, not the published"):
        download_model("published")
    assert leftovers() == []


@pytest.mark.parametrize("status", [404, 503])
def test_server_error_is_one_sentence(shelf: Any, published: Any, status: int) -> None:
    shelf.status = status
    with pytest.raises(DownloadError, match=f"the server answered {status}"):
        download_model("published")
    assert find_checkpoint("published") is None


def test_offline_says_file_url_hash_and_folder(register: Any) -> None:
    config = register("published", sha256="ab" * 32)
    with pytest.raises(DownloadError) as caught:
        download_model("published")
    sentence = str(caught.value)
    for part in (config.url, "ab" * 32, str(models_folder() / config.filename)):
        assert part in sentence
    assert "no connection" in sentence


def test_mirror_serves_by_file_name(
    shelf: Any, register: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("published", sha256=shelf.sha256)
    monkeypatch.setenv("NAPARI_SAM_MIRROR", f"{shelf.address}/mirror/")
    download_model("published")
    assert shelf.requests[0][0] == "/mirror/published.pth"


def test_proxy_of_the_environment_is_used(
    shelf: Any, register: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", shelf.address)
    monkeypatch.setenv("no_proxy", "")
    register("published", url="http://nowhere.invalid/weights", sha256=shelf.sha256)
    download_model("published")
    assert shelf.requests[0][0] == "http://nowhere.invalid/weights"


def test_unpublished_model_has_nothing_to_download(register: Any) -> None:
    register("mine", url=None)
    with pytest.raises(DownloadError, match="nothing to download"):
        download_model("mine")


def test_create_model_downloads_what_is_missing(shelf: Any, published: Any) -> None:
    # What arrives is verified, then read: this content is no checkpoint.
    with pytest.raises(CheckpointError, match="neither a safetensors nor a PyTorch"):
        create.create("published", None, "cpu", "float32", True)
    assert find_checkpoint("published") is not None


def test_folder_that_cannot_be_made(
    register: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_SAM_HOME", str(tmp_path / "file" / "home"))
    register("published")
    with pytest.raises(CheckpointError, match="set NAPARI_SAM_HOME"):
        download_model("published")


def test_home_is_the_cache_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_SAM_HOME")
    assert home_folder().is_absolute()
    assert "napari-sam" in home_folder().parts
    monkeypatch.setenv("NAPARI_SAM_HOME", "~/weights")
    assert home_folder() == Path.home() / "weights"
