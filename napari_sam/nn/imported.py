"""Records of checkpoints that a user imported under names of their own.

Each is a safetensors file in the models folder with a JSON record beside it. Imports
no torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.errors import ModelError
from napari_sam.nn.storage import models_folder

if TYPE_CHECKING:
    from napari_sam.nn.registry import PretrainedConfig

_SUFFIX = ".imported.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class ImportRecord:
    """What is known of an imported checkpoint.

    Attributes
    ----------
    name : str
        The user's name for it.
    like : str
        The registered model whose layers and conventions it has.
    filename : str
        Of the safetensors file in the models folder.
    sha256 : str
        Of that file.
    size : int
        Bytes.
    origin : str
        Path it was imported from.
    """

    name: str
    like: str
    filename: str
    sha256: str
    size: int
    origin: str

    def config(self, base: PretrainedConfig) -> PretrainedConfig:
        """Config of this model: the base model's conventions, this file's identity."""
        return replace(
            base,
            url=None,
            filename=self.filename,
            sha256=self.sha256,
            xxh128=None,
            size=self.size,
            licence="unknown",
            source=f"imported from {self.origin}",
            bundled=False,
            decoder_url=None,
            decoder_xxh128=None,
        )


def check_name(name: str) -> None:
    """Accept only names that are safe as a file name.

    Raises
    ------
    ModelError
        It has other characters than letters, digits, "_", "." and "-".
    """
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} cannot name a model: use up to 64 letters, digits, '_', '.' "
            "and '-', a letter or digit first."
        )


def record_path(name: str) -> Path:
    """Path of the record of an imported model; it may not exist."""
    return models_folder() / f"{name}{_SUFFIX}"


def write_record(record: ImportRecord) -> None:
    """Write a record beside its checkpoint."""
    text = json.dumps(asdict(record), indent=2)
    record_path(record.name).write_text(text + "\n", encoding="utf-8")


def read_records() -> list[ImportRecord]:
    """All records of the models folder, by name; unreadable ones are left out."""
    paths = sorted(models_folder().glob(f"*{_SUFFIX}"))
    records = (_read_record(path) for path in paths)
    return [record for record in records if record is not None]


def _read_record(path: Path) -> ImportRecord | None:
    try:
        record = ImportRecord(**json.loads(path.read_text(encoding="utf-8")))
        check_name(record.name)
    except (OSError, ValueError, TypeError):
        return None
    # A record that points out of the folder was not written by us.
    inside = Path(record.filename).name == record.filename
    return record if inside else None
