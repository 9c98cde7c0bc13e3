"""CLIP models: phrases and pictures as vectors of one space, by open_clip.

A name is the bundled ``clip_pocket``, a folder with ``open_clip_config.json``, a pair
``ARCHITECTURE:TAG`` that open_clip knows, ``ARCHITECTURE:FILE`` with weights on disk,
or ``hf-hub:OWNER/NAME``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from napari_sam.errors import CheckpointError, DownloadError, ModelError
from napari_sam.text.vocabulary import BUNDLED_FOLDER, Vocabulary, load_vocabulary

BUNDLED = "clip_pocket"
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
HUB = "hf-hub:"
TEMPLATES = ("{}", "a photo of {}", "{} in a microscope image")
# Pictures encoded at a time.
CHUNK = 64

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ClipSource:
    """Where a CLIP comes from.

    Attributes
    ----------
    name : str
        As the user gave it.
    model : str
        What open_clip calls it.
    weights : str or None
        A tag or a file; None where ``model`` says it all.
    folder : Path or None
        Of a model on disk.
    """

    name: str
    model: str
    weights: str | None = None
    folder: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether no network is needed."""
        on_disk = self.weights is not None and Path(self.weights).is_file()
        return self.folder is not None or on_disk


def find_clip(name: str) -> ClipSource:
    """Tell what a CLIP's name means, without loading it.

    Parameters
    ----------
    name : str
        See the module.

    Raises
    ------
    ModelError
        It means nothing.
    CheckpointError
        A file or folder is missing or incomplete.
    """
    folder = BUNDLED_FOLDER if name == BUNDLED else Path(name)
    if folder.is_dir():
        missing = [f for f in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / f).is_file()]
        if missing:
            raise CheckpointError(
                f"{folder} is no CLIP: it has no {missing[0]}. A folder needs "
                f"{CONFIG_FILE} and {WEIGHTS_FILE}."
            )
        return ClipSource(name, f"local-dir:{folder}", folder=folder)
    if name.startswith(HUB):
        return ClipSource(name, name)
    architecture, colon, weights = name.partition(":")
    if not colon:
        raise ModelError(
            f"There is no CLIP {name!r}: use {BUNDLED}, a folder, ARCHITECTURE:TAG such"
            f" as ViT-B-32:laion2b_s34b_b79k, ARCHITECTURE:FILE, or {HUB}OWNER/NAME."
        )
    return _find_pair(name, architecture, weights)


def _find_pair(name: str, architecture: str, weights: str) -> ClipSource:
    import open_clip

    known = open_clip.list_models()
    if architecture not in known:
        close = get_close_matches(architecture, known, 3) or ["ViT-B-32"]
        raise ModelError(
            f"open_clip has no architecture {architecture!r}; did you mean "
            f"{' or '.join(close)}?"
        )
    if Path(weights).is_file():
        return ClipSource(name, architecture, weights)
    if Path(weights).suffix in (".pt", ".pth", ".bin", ".safetensors"):
        raise CheckpointError(f"There is no file {weights}.")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if weights not in tags:
        raise ModelError(
            f"{architecture} has no weights {weights!r}; there are: {', '.join(tags)}."
        )
    return ClipSource(name, architecture, weights)


@dataclass(eq=False)
class Clip:
    """A CLIP model that is loaded when it is first asked.

    Attributes
    ----------
    source : ClipSource
    device : str
    """

    source: ClipSource
    device: str = "cpu"
    _loaded: tuple[Any, Callable[[list[str]], torch.Tensor]] | None = None
    _texts: dict[str, Vectors] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def name(self) -> str:
        """As the user gave it."""
        return self.source.name

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words it was taught, if its folder tells."""
        folder = self.source.folder
        return None if folder is None else load_vocabulary(folder)

    @property
    def identity(self) -> str:
        """What a projector is bound to: the SHA256 of local weights, or the name."""
        source = self.source
        path = source.folder / WEIGHTS_FILE if source.folder else source.weights
        if path is None or not Path(path).is_file():
            return source.name
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    @property
    def logit_scale(self) -> float:
        """What its own training multiplies cosines with."""
        model, _ = self._load()
        return float(model.logit_scale.exp())

    def embed_text(self, phrases: Sequence[str]) -> Vectors:
        """Embed phrases; each is computed once.

        Parameters
        ----------
        phrases : sequence of str

        Returns
        -------
        ndarray of float32, shape (N, D)
            Of length 1.

        Raises
        ------
        ModelError, CheckpointError, DownloadError
            The model cannot be loaded.
        """
        new = [each for each in dict.fromkeys(phrases) if each not in self._texts]
        if new:
            for phrase, vector in zip(new, self._encode_text(new), strict=True):
                self._texts[phrase] = vector
        return np.stack([self._texts[each] for each in phrases])

    @torch.no_grad()
    def _encode_text(self, phrases: list[str]) -> Vectors:
        model, tokenize = self._load()
        # The bundled one was taught bare phrases; others like sentences better.
        templates = TEMPLATES[:1] if self.vocabulary else TEMPLATES
        parts = []
        for template in templates:
            tokens = tokenize([template.format(phrase) for phrase in phrases])
            vectors = model.encode_text(tokens.to(self.device))
            parts.append(functional.normalize(vectors.float(), dim=-1))
        mean = torch.stack(parts).mean(0)
        result: Vectors = functional.normalize(mean, dim=-1).cpu().numpy()
        return result

    @torch.no_grad()
    def embed_crops(self, crops: Sequence[NDArray[np.float32]]) -> Vectors:
        """Embed pictures.

        Parameters
        ----------
        crops : sequence of ndarray of float32, shape (3, h, w)
            In 0..1, of any size.

        Returns
        -------
        ndarray of float32, shape (N, D)
            Of length 1.

        Raises
        ------
        ModelError, CheckpointError, DownloadError
            The model cannot be loaded.
        """
        model, _ = self._load()
        size, mean, std = _picture_settings(model)
        parts = []
        for start in range(0, len(crops), CHUNK):
            pictures = torch.cat(
                [_resize(crop, size) for crop in crops[start : start + CHUNK]]
            )
            ready = ((pictures - mean) / std).to(self.device)
            vectors = model.encode_image(ready).float()
            parts.append(functional.normalize(vectors, dim=-1).cpu())
        result: Vectors = torch.cat(parts).numpy()
        return result

    def _load(self) -> tuple[Any, Callable[[list[str]], torch.Tensor]]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load_clip(self.source, self.device)
            return self._loaded


def _picture_settings(model: Any) -> tuple[tuple[int, int], Any, Any]:
    size = model.visual.image_size
    pair = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    mean, std = (
        torch.tensor(values).reshape(3, 1, 1)
        for values in (model.visual.image_mean, model.visual.image_std)
    )
    return pair, mean, std


def _resize(crop: NDArray[np.float32], size: tuple[int, int]) -> torch.Tensor:
    picture = torch.from_numpy(np.ascontiguousarray(crop))[None]
    return functional.interpolate(
        picture, size, mode="bilinear", antialias=True, align_corners=False
    ).clamp(0, 1)


def _load_clip(
    source: ClipSource, device: str
) -> tuple[Any, Callable[[list[str]], torch.Tensor]]:
    import open_clip

    try:
        model, _, _ = open_clip.create_model_and_transforms(
            source.model, pretrained=source.weights, device=device
        )
        tokenize = open_clip.get_tokenizer(source.model)
    except Exception as error:
        if source.is_local:
            raise CheckpointError(
                f"The CLIP {source.name} cannot be loaded: {_first_line(error)}"
            ) from error
        raise DownloadError(_download_advice(source, error)) from error
    return model.eval(), tokenize


def _download_advice(source: ClipSource, error: Exception) -> str:
    if source.model.startswith(HUB):
        place = source.model.removeprefix(HUB)
        what = f"{CONFIG_FILE} and {WEIGHTS_FILE} of huggingface.co/{place}"
        how = "into one folder and give that folder instead of the name"
    else:
        import open_clip

        found = open_clip.pretrained.get_pretrained_cfg(source.model, source.weights)
        place = found.get("url") or "huggingface.co/" + found.get("hf_hub", "")
        what = f"the weights from {place}"
        how = f"and give {source.model}:FILE instead of the name"
    return (
        f"The CLIP {source.name} could not be fetched ({_first_line(error)}). Download "
        f"{what} {how}, or use {BUNDLED}, which needs no network."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def load_clip(name: str = BUNDLED, device: str = "cpu") -> Clip:
    """Make a CLIP ready to be asked; its weights are read at the first question.

    Parameters
    ----------
    name : str
        See the module.
    device : str

    Raises
    ------
    ModelError, CheckpointError
        As `find_clip`.
    """
    return Clip(find_clip(name), device)
