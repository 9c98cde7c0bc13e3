"""Keep embeddings, so that an image or slice seen before is not encoded again.

In memory the least recently used make room for new ones. In a folder, if one is given,
they stay between runs. An entry's name is a digest of everything that it depends on:
the pixels as the model sees them (so of all preprocessing too), the model's name,
weights and number type. A file is complete before it gets that name, and holds a digest
of its content, so that neither a half written nor a damaged one is used.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_sam.inference.framing import Framing, ImageEmbedding

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor

# In memory; an embedding of SAM takes about 20 MB, one of `pocket` 10 to 500 MB.
KEPT_BYTES = 2_000_000_000
# Raised when the content of a file changes its meaning.
FORMAT = "1"


class EmbeddingCache:
    """Embeddings of many images, in bounded memory and, if asked, in a folder.

    Safe to use from several threads; an image that two ask for at once is encoded once.

    Parameters
    ----------
    kept_bytes : int
        Most memory for embeddings; the one asked for last is kept even if it is larger.
    folder : Path, optional
        Where to keep them between runs; made at the first need. It is not bounded:
        delete it at will.
    """

    def __init__(
        self, kept_bytes: int = KEPT_BYTES, folder: Path | None = None
    ) -> None:
        self._kept_bytes = kept_bytes
        self._folder = folder
        self._entries: OrderedDict[str, ImageEmbedding] = OrderedDict()
        self._lock = Lock()
        self._encoding: defaultdict[str, Lock] = defaultdict(Lock)

    def embed(
        self, predictor: SamPredictor, pixels: NDArray[np.float32]
    ) -> ImageEmbedding:
        """Return an image's embedding, for `SamPredictor.set_embedding`.

        Parameters
        ----------
        predictor : SamPredictor
            Whose model encodes.
        pixels : ndarray of float32, shape (3, H, W)
            From `SamPredictor.preprocess`.
        """
        key = entry_key(predictor, pixels)
        with self._lock:
            encoding = self._encoding[key]
        with encoding:
            embedding = self._find(key)
            if embedding is None:
                embedding = self._load(key, predictor.framing, pixels)
            if embedding is None:
                embedding = predictor.framing.encode(pixels)
                self._save(key, predictor.framing.pack(embedding))
        self._keep(key, embedding)
        return embedding

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the embeddings take now."""
        with self._lock:
            return sum(each.nbytes for each in self._entries.values())

    def __len__(self) -> int:
        """Number of embeddings in memory."""
        return len(self._entries)

    def clear(self) -> None:
        """Forget all that is in memory; files stay."""
        with self._lock:
            self._entries.clear()

    def _find(self, key: str) -> ImageEmbedding | None:
        with self._lock:
            return self._entries.get(key)

    def _keep(self, key: str, embedding: ImageEmbedding) -> None:
        """Make an embedding the newest, and room for it: they grow as they are used."""
        with self._lock:
            self._entries[key] = embedding
            self._entries.move_to_end(key)
            self._encoding.pop(key, None)
            sizes = {name: each.nbytes for name, each in self._entries.items()}
            total = sum(sizes.values())
            while total > self._kept_bytes and len(self._entries) > 1:
                oldest, _ = self._entries.popitem(last=False)
                total -= sizes[oldest]

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{key}.safetensors"

    def _load(
        self, key: str, framing: Framing, pixels: NDArray[np.float32]
    ) -> ImageEmbedding | None:
        """Read an embedding; None where there is no file, or a damaged one."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        packed = _read(path, key)
        return None if packed is None else framing.unpack(pixels, packed)

    def _save(self, key: str, packed: Mapping[str, Tensor]) -> None:
        path = self._path(key)
        if path is None:
            return
        tensors = {name: each.cpu().contiguous() for name, each in packed.items()}
        metadata = {"key": key, "digest": _digest(tensors)}
        part = path.with_name(f"{path.name}.{uuid4().hex}.part")
        # A full or forbidden disk costs the file, not the embedding.
        with contextlib.suppress(OSError, SafetensorError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                save_file(tensors, part, metadata)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)


def entry_key(predictor: SamPredictor, pixels: NDArray[np.float32]) -> str:
    """Digest of all that an embedding depends on.

    Parameters
    ----------
    predictor : SamPredictor
    pixels : ndarray of float32, shape (3, H, W)
    """
    model = predictor.model
    words = (FORMAT, model.name, str(model.compute_dtype), weights_digest(model))
    digest = hashlib.blake2b(repr((*words, pixels.shape)).encode(), digest_size=20)
    digest.update(np.ascontiguousarray(pixels, dtype=np.float32).data)
    return digest.hexdigest()


_Fingerprint = list[tuple[int, int]]
_digests: WeakKeyDictionary[nn.Module, tuple[_Fingerprint, str]] = WeakKeyDictionary()


def weights_digest(model: nn.Module) -> str:
    """Digest of a model's weights as they are now, made anew when they change.

    The checkpoint's own digest would not do: a model may be trained after loading.
    """
    tensors = dict(model.state_dict(keep_vars=True))
    # A counter that torch raises whenever a tensor is written, as by an optimizer.
    fingerprint = [(each.data_ptr(), each._version) for each in tensors.values()]
    known = _digests.get(model)
    if known is None or known[0] != fingerprint:
        known = fingerprint, _digest(tensors)
        _digests[model] = known
    return known[1]


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for name, each in sorted(tensors.items()):
        digest.update(repr((name, str(each.dtype), tuple(each.shape))).encode())
        values = each.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path, key: str) -> dict[str, Tensor] | None:
    """Tensors of a file, if it is whole and the entry that its name says."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    wanted = {"key": key, "digest": _digest(tensors)}
    return tensors if metadata == wanted else None
