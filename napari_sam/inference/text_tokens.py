"""A phrase as prompt tokens of a SAM: the region of everything that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sam.errors import ModelError
from napari_sam.inference.fixed_frame import FixedEmbedding
from napari_sam.inference.postprocess import paste_logits
from napari_sam.inference.predictor import SamPredictor
from napari_sam.text.clip import Clip, Vectors
from napari_sam.text.projector import load_projection


class TokenPath:
    """Asks a SAM for the region that a phrase names.

    Parameters
    ----------
    predictor : SamPredictor
    clip : Clip
    path : Path
        A projection of ``napari-sam train-text --tokens``.

    Raises
    ------
    ModelError
        The projection is for another model or CLIP.
    CheckpointError
        The file is missing or damaged.
    """

    def __init__(self, predictor: SamPredictor, clip: Clip, path: Path) -> None:
        self._predictor = predictor
        self._projection, binding = load_projection(path)
        binding.check(clip.identity, predictor.model.name)

    @torch.no_grad()
    def region(self, vectors: Vectors) -> NDArray[np.bool_]:
        """The region of what vectors of CLIP space name, bool (H, W).

        Parameters
        ----------
        vectors : ndarray of float32, shape (N, D)
            Synonyms; their mean is asked for.

        Raises
        ------
        ModelError
            The model takes no tokens.
        """
        embedding, model = self._predictor.embedding, self._predictor.model
        if not isinstance(embedding, FixedEmbedding):
            raise ModelError(f"The model {model.name!r} takes no prompt tokens.")
        mean = torch.from_numpy(vectors.mean(0, keepdims=True))
        tokens = self._projection(torch.nn.functional.normalize(mean, dim=-1))
        sam: Any = model
        device = embedding.context.embedding.device
        logits, _ = sam.decode(
            embedding.context, text=tokens.to(device), multimask_output=False
        )
        mask = np.zeros(embedding.image_shape, bool)
        paste_logits(logits[0, 0], embedding.low_res_frame, mask)
        return mask
