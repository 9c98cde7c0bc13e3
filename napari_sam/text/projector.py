"""Between CLIP space and a model: masks as vectors, and phrases as prompt tokens.

`WordHead` puts the description of a mask where the words for it are. `TextProjection`
turns a vector of CLIP space into prompt tokens, as SAM's authors did with the CLIP
embedding of a mask's crop (Kirillov et al., 2023, appendix D.5). Both belong to one
CLIP and are refused beside another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_sam.errors import CheckpointError, ModelError

FORMAT = "1"
HEAD_FILE = "words.safetensors"
TEXT_PREFIX = "prompt_encoder.text_proj."


@dataclass(frozen=True)
class Binding:
    """What a head or projection was fitted to.

    Attributes
    ----------
    clip : str
        `Clip.identity`.
    model : str
        Registered name of the segmentation model.
    checkpoint : str
        SHA256 of that model's weights.
    """

    clip: str
    model: str
    checkpoint: str = ""

    def check(self, clip: str, model: str) -> None:
        """Refuse another CLIP or another model.

        Raises
        ------
        ModelError
        """
        if self.model != model:
            raise ModelError(
                f"These words are for the model {self.model!r}, not for {model!r}: "
                "run napari-sam train-text for it."
            )
        if self.clip != clip:
            raise ModelError(
                "These words are for another CLIP than the one given: use the CLIP "
                "they were fitted with, or run napari-sam train-text."
            )


class WordHead(nn.Module):
    """Maps descriptions of masks into CLIP space.

    Parameters
    ----------
    features : int
        Length of a description.
    embed_dim : int
        D of the CLIP.
    hidden : int
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, features: int, embed_dim: int, hidden: int = 192) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.layers = nn.Sequential(
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(hidden, embed_dim),
        )
        self.logit_scale = nn.Parameter(torch.tensor(2.5))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with."""
        return self.logit_scale.clamp(max=4.6052).exp()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, F) to (N, D), of length 1."""
        ready = ((features - self.mean) / self.spread).clamp(-6, 6)
        return functional.normalize(self.layers(ready), dim=-1)


class TextProjection(nn.Module):
    """Maps a vector of CLIP space to sparse prompt tokens.

    Parameters
    ----------
    embed_dim : int
        D of the CLIP.
    token_dim : int
        Width of the model's prompt tokens.
    tokens : int
        Tokens a phrase becomes.
    """

    def __init__(self, embed_dim: int, token_dim: int, tokens: int = 1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dim)
        self.layers = nn.Sequential(
            nn.Linear(embed_dim, token_dim),
            nn.GELU(),
            nn.Linear(token_dim, tokens * token_dim),
        )
        # Tells a phrase from a point or a corner, as SAM's kinds of points are told.
        self.type_embedding = nn.Parameter(torch.randn(tokens, token_dim) * 0.02)

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (B, D) to (B, tokens, token_dim)."""
        count, width = self.type_embedding.shape
        tokens = self.layers(self.norm(vectors)).reshape(-1, count, width)
        result: Tensor = tokens + self.type_embedding
        return result


def save_head(head: WordHead, binding: Binding, path: Path) -> None:
    """Write a head with what it belongs to, in half precision.

    Parameters
    ----------
    head : WordHead
    binding : Binding
    path : Path
    """
    tensors = {key: value.half() for key, value in head.state_dict().items()}
    _save(tensors, binding, path)


def load_head(path: Path) -> tuple[WordHead, Binding]:
    """Read a head.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or something else.
    """
    tensors, binding = _load(path)
    first, last = tensors["layers.0.weight"], tensors["layers.6.weight"]
    head = WordHead(first.shape[1], last.shape[0], first.shape[0])
    head.load_state_dict(tensors)
    return head.eval().requires_grad_(False), binding


def save_projection(projection: TextProjection, binding: Binding, path: Path) -> None:
    """Write a projection under the names it has in a model's checkpoint.

    Parameters
    ----------
    projection : TextProjection
    binding : Binding
    path : Path
    """
    state = projection.state_dict()
    _save({TEXT_PREFIX + key: value for key, value in state.items()}, binding, path)


def load_projection(path: Path) -> tuple[TextProjection, Binding]:
    """Read a projection.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or something else.
    """
    tensors, binding = _load(path)
    state = {key.removeprefix(TEXT_PREFIX): value for key, value in tensors.items()}
    if "type_embedding" not in state:
        raise CheckpointError(f"{path} holds no text projection.")
    tokens, width = state["type_embedding"].shape
    projection = TextProjection(state["norm.weight"].shape[0], width, tokens)
    projection.load_state_dict(state)
    return projection.eval().requires_grad_(False), binding


def _save(tensors: Mapping[str, Tensor], binding: Binding, path: Path) -> None:
    facts = {"format": FORMAT, "binding": json.dumps(asdict(binding))}
    ready = {key: value.contiguous() for key, value in tensors.items()}
    partial = path.with_name(path.name + ".part")
    save_file(ready, partial, metadata=facts)
    partial.replace(path)


def _load(path: Path) -> tuple[dict[str, Tensor], Binding]:
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}; train-text makes one.")
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        if facts.get("format") != FORMAT:
            raise CheckpointError(f"{path} is of another version of this program.")
        return tensors, Binding(**json.loads(facts["binding"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no file of train-text: {error}") from error
