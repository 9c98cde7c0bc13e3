"""Where checkpoints are kept, and how a file is checked against its hash.

Imports no torch: listing models and printing paths must start at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_sam.errors import CheckpointError

HOME_VARIABLE = "NAPARI_SAM_HOME"
WEIGHTS_FOLDER = Path(__file__).resolve().parent.parent / "weights"
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Digests:
    """Hashes of a file's content, in lower-case hexadecimal.

    Attributes
    ----------
    sha256 : str
    xxh128 : str
    size : int
        Bytes.
    """

    sha256: str
    xxh128: str
    size: int


def home_folder() -> Path:
    """Folder of everything this package keeps: ``NAPARI_SAM_HOME`` or the cache's.

    Returns
    -------
    Path
        Absolute; it may not exist yet.
    """
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("napari-sam", appauthor=False))


def models_folder() -> Path:
    """Folder of downloaded and imported checkpoints; it may not exist yet."""
    return home_folder() / "models"


def make_models_folder() -> Path:
    """Create `models_folder` where it is missing.

    Returns
    -------
    Path

    Raises
    ------
    CheckpointError
        The folder cannot be created.
    """
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"Cannot create the folder for model files, {folder} ({error.strerror}); "
            f"set {HOME_VARIABLE} to a folder you can write to."
        ) from error
    return folder


def find_file(path: str | Path) -> Path:
    """Resolve a path that a user gave to a file.

    Raises
    ------
    CheckpointError
        There is no such file, or it is a folder.
    """
    found = Path(path).expanduser()
    if found.is_file():
        return found
    what = "is a folder, not a file" if found.is_dir() else "does not exist"
    raise CheckpointError(f"The checkpoint {found} {what}.")


def digest_file(
    path: Path, progress: Callable[[int, int | None], None] | None = None
) -> Digests:
    """Hash a file, reading it once.

    Parameters
    ----------
    path : Path
    progress : callable, optional
        Called with the bytes read so far and the total.

    Returns
    -------
    Digests
    """
    import xxhash

    total, done = path.stat().st_size, 0
    sha256, xxh128 = hashlib.sha256(), xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            xxh128.update(block)
            done += len(block)
            if progress is not None:
                progress(done, total)
    return Digests(sha256.hexdigest(), xxh128.hexdigest(), done)


def describe_hash(sha256: str | None, xxh128: str | None) -> str:
    """Name the published hash for a person, the stronger one where both are known."""
    if sha256:
        return f"sha256 {sha256}"
    return f"xxh128 {xxh128}" if xxh128 else "no published hash"


def check_digests(
    path: Path, digests: Digests, sha256: str | None, xxh128: str | None
) -> None:
    """Compare a file's digests with the published ones.

    Parameters
    ----------
    path : Path
        Named in the message.
    digests : Digests
    sha256, xxh128 : str or None
        What was published; None is not compared.

    Raises
    ------
    CheckpointError
        They differ.
    """
    pairs = (
        ("sha256", digests.sha256, sha256),
        ("xxh128", digests.xxh128, xxh128),
    )
    for kind, found, wanted in pairs:
        if wanted and found != wanted.lower():
            raise CheckpointError(
                f"{path} is damaged or another file: its {kind} is {found}, not "
                f"{wanted}; delete it and fetch it again."
            )


def looks_like_text(head: bytes) -> bool:
    """Tell a web page, an error message or a Git LFS pointer from a binary file."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return bool(head) and all(c.isprintable() or c.isspace() for c in text)
