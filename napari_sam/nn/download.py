"""Fetch published checkpoints: resumable, verified, and never half a file in place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.errors import CheckpointError, DownloadError
from napari_sam.nn.registry import PretrainedConfig, model_config
from napari_sam.nn.storage import (
    WEIGHTS_FOLDER,
    check_digests,
    describe_hash,
    digest_file,
    looks_like_text,
    make_models_folder,
    models_folder,
)

if TYPE_CHECKING:
    import requests

MIRROR_VARIABLE = "NAPARI_SAM_MIRROR"
Progress = Callable[[int, int | None], None]
# What a broken transfer loses at most.
_CHUNK = 1 << 16
_TIMEOUT = 30.0


def checkpoint_path(name: str) -> Path:
    """Path at which a model's checkpoint belongs; it may not be there.

    Raises
    ------
    ModelError
        No model of this name.
    """
    config = model_config(name)
    folder = WEIGHTS_FOLDER if config.bundled else models_folder()
    return folder / config.filename


def find_checkpoint(name: str) -> Path | None:
    """Path of a model's checkpoint on this machine, or None.

    Raises
    ------
    ModelError
        No model of this name.
    """
    path = checkpoint_path(name)
    return path if path.is_file() else None


def download_url(config: PretrainedConfig) -> str | None:
    """Address a model's file is fetched from.

    With the environment variable ``NAPARI_SAM_MIRROR`` set, it is that address with
    the file's name appended; None for models that are not published.
    """
    mirror = os.environ.get(MIRROR_VARIABLE)
    if config.url is None or not mirror:
        return config.url
    return f"{mirror.rstrip('/')}/{config.filename}"


def download_model(
    name: str, *, force: bool = False, progress: Progress | None = None
) -> Path:
    """Fetch a model's checkpoint into the models folder, unless it is there.

    The transfer goes to a ``.part`` file, which a later call resumes; only a file of
    the published hash is moved into place. Proxies are taken from the environment.

    Parameters
    ----------
    name : str
    force : bool
        Fetch again even if the file is there.
    progress : callable, optional
        Called with the bytes done and the total or None. An exception it raises
        cancels the download and keeps the part.

    Returns
    -------
    Path

    Raises
    ------
    DownloadError
        The file could not be fetched, or the model is not published; the message says
        how to put the file in place by hand.
    CheckpointError
        What arrived is not the published file.
    """
    import filelock

    config = model_config(name)
    url = download_url(config)
    if url is None:
        raise DownloadError(
            f"{name} is not a published model: there is nothing to download."
        )
    target = make_models_folder() / config.filename
    # Two sessions that want the same model must not write into one part.
    with filelock.FileLock(target.with_name(f".{target.name}.lock")):
        if force or not target.exists():
            _fetch(name, config, url, target, progress)
    return target


def offline_help(config: PretrainedConfig, url: str) -> str:
    """Say which file to fetch elsewhere, from where, and where to put it."""
    known = describe_hash(config.sha256, config.xxh128)
    return (
        f"On a machine with internet, fetch {url} ({known}) and save it here as "
        f"{models_folder() / config.filename}."
    )


def _fetch(
    name: str,
    config: PretrainedConfig,
    url: str,
    target: Path,
    progress: Progress | None,
) -> None:
    part = target.with_name(target.name + ".part")
    # Without a hash nobody could tell that two halves belong together.
    if not (config.sha256 or config.xxh128):
        part.unlink(missing_ok=True)
    resumed = part.exists() and part.stat().st_size > 0
    try:
        _transfer(url, part, progress)
        _verify_part(part, config, url)
    except CheckpointError:
        part.unlink(missing_ok=True)
        if not resumed:
            raise
        # The earlier half may be of another version of the file: start anew.
        _fetch(name, config, url, target, progress)
        return
    except OSError as error:
        reason = _reason(error)
        raise DownloadError(
            f"Could not download {name} ({reason}). {offline_help(config, url)}"
        ) from error
    part.replace(target)


def _verify_part(part: Path, config: PretrainedConfig, url: str) -> None:
    digests = digest_file(part)
    try:
        check_digests(part, digests, config.sha256, config.xxh128)
    except CheckpointError as error:
        with part.open("rb") as file:
            page = looks_like_text(file.read(512))
        what = "a web page or text, not" if page else "another file than"
        raise CheckpointError(
            f"{url} sent {what} the published {config.filename} ({digests.size} bytes, "
            f"sha256 {digests.sha256}, xxh128 {digests.xxh128}), which was deleted. "
            f"{offline_help(config, url)}"
        ) from error


def _reason(error: OSError) -> str:
    """Shorten a chain of connection errors to what a person can use."""
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refused or cannot be reached"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate was not accepted"
    if isinstance(error, requests.exceptions.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off; try again to resume it"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection to the server"
    return error.strerror or str(error)


def _transfer(url: str, part: Path, progress: Progress | None) -> None:
    """Append to ``part`` what is missing, or write it from the start."""
    import pooch

    with part.open("ab") as file:
        start = file.tell()
        bar = _Bar(progress, start)

        def restart_if_whole(reply: requests.Response, **_: object) -> None:
            # A server that ignores ranges sends everything again.
            if reply.status_code == 200:
                file.truncate(0)
                bar.start = 0

        fetch = pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=_CHUNK,
            timeout=_TIMEOUT,
            # Identity: ranges count bytes of what is sent.
            headers={"Range": f"bytes={start}-", "Accept-Encoding": "identity"},
            hooks={"response": restart_if_whole},
        )
        try:
            fetch(url, file, None)
        except OSError as error:
            if not _is_complete(error, start):
                raise


def _is_complete(error: OSError, start: int) -> bool:
    """Tell that nothing is left to send (an earlier transfer ended just there)."""
    response = getattr(error, "response", None)
    return start > 0 and response is not None and response.status_code == 416


class _Bar:
    """pooch's progress bar interface, passed on to a callable.

    Parameters
    ----------
    progress : callable or None
    start : int
        Bytes that an earlier transfer left.
    """

    def __init__(self, progress: Progress | None, start: int) -> None:
        self.start = start
        self.total = 0
        self._progress = progress
        self._done = 0

    def update(self, count: int) -> None:
        """Add transferred bytes; pooch counts the last chunk as a whole one."""
        self._done += count
        if self.total:
            self._done = min(self._done, self.total)
        total = self.start + self.total if self.total else None
        if self._progress is not None:
            self._progress(self.start + self._done, total)

    def reset(self) -> None:
        """Start counting anew, as pooch does before it fills the bar."""
        self._done = 0

    def close(self) -> None:
        """Do nothing: the callable's owner closes what it shows."""
