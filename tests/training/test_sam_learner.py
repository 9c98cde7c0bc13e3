"""A SAM is trained as it is used, and its file is an ordinary checkpoint."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_sam.errors import DataError, ModelError
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.image_encoder import build_vit_encoder
from napari_sam.nn.lora import is_lora, merge_lora
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.sam import Sam, assemble_sam
from napari_sam.structures import BoxPrompt, MaskPrompt, PointPrompt, PromptSet
from napari_sam.training.augment import AugmentConfig
from napari_sam.training.batches import make_batch
from napari_sam.training.frames import draw_frame, whole_window
from napari_sam.training.reading import TrainingImage
from napari_sam.training.recipe import Recipe
from napari_sam.training.rounds import rounds_loss
from napari_sam.training.sam_learner import EmbeddingCache, SamLearner
from napari_sam.training.trainer import Progress, Trainer
from napari_sam.training.validation import Validation
from napari_sam.training.weights import as_learner, write_weights

from .conftest import DiscSource, draw_discs

SIZES = {"embed_dim": 32, "depth": 2, "num_heads": 2, "global_attn_indexes": (1,)}
SIDE = 128


def build_sam() -> Sam:
    """A random SAM of a shallow encoder, with an input of 128 pixels."""
    torch.manual_seed(3)
    encoder = build_vit_encoder("samvit_base_patch16", img_size=SIDE, **SIZES)
    sam = assemble_sam(encoder, SIDE)
    with torch.no_grad():
        sam.image_encoder.pos_embed.normal_(0, 0.1)
    return sam


@pytest.fixture
def sam_recipe() -> Recipe:
    return Recipe(
        steps=40,
        images=2,
        objects=3,
        warmup=5,
        learning_rate=2e-3,
        ema=0.8,
        parts="decoder",
        frame="fixed",
        bfloat16=False,
        augment=AugmentConfig(window=SIDE // 2, minimum_area=8),
    )


class FewDiscs:
    """Three images of discs, in turn by chance."""

    def __init__(self) -> None:
        source = DiscSource()
        self.images = [source.draw(np.random.default_rng(n)) for n in range(3)]

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        return self.images[rng.integers(3)]


@pytest.fixture
def few() -> FewDiscs:
    return FewDiscs()


def learner_for(recipe: Recipe) -> SamLearner:
    learner = as_learner(build_sam(), "small", recipe)
    assert isinstance(learner, SamLearner)
    return learner


def one_prompt(**given: Tensor) -> dict[str, Tensor]:
    """Prompts as training makes them: what is not given is padding or zeros."""
    count = len(next(iter(given.values())))
    return {
        "coords": torch.zeros(count, 1, 2),
        "labels": -torch.ones(count, 1, dtype=torch.long),
        "boxes": torch.zeros(count, 4),
        "masks": torch.zeros(count, 1, SIDE // 4, SIDE // 4),
        **given,
    }


@torch.no_grad()
def decoded(learner: SamLearner, image: Tensor, prompt: dict[str, Tensor]) -> Tensor:
    features = learner.encode(image[None])
    features = features.select(torch.zeros(len(prompt["boxes"]), dtype=torch.long))
    points = (prompt["coords"], prompt["labels"])
    return learner.decode(features, points, prompt["boxes"], prompt["masks"])[0]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["point", "box", "mask", "box and points"])
def test_masks_are_those_of_the_predictor(kind: str) -> None:
    sam = build_sam()
    # As large as the input and in its own 8 bits: nothing is resized or rounded.
    image = draw_discs(0, SIDE)[0]
    predictor = SamPredictor(sam)
    predictor.set_image(np.stack([image] * 3, axis=-1))
    logits = torch.randn(1, 1, SIDE // 4, SIDE // 4)
    frame = predictor.embedding.low_res_frame
    given = {
        "point": PromptSet(points=(PointPrompt((40, 60), True),)),
        "box": PromptSet(box=BoxPrompt((20, 30), (70, 90))),
        "mask": PromptSet(mask=MaskPrompt(logits[0, 0].numpy(), frame)),
        "box and points": PromptSet(
            points=(PointPrompt((40, 60), True), PointPrompt((2, 4), False)),
            box=BoxPrompt((20, 30), (70, 90)),
        ),
    }[kind]
    wanted = predictor.predict(given, multimask_output=True).low_res_masks
    box = torch.tensor([[15.0, 10.0, 45.0, 35.0]])
    prompt = {
        "point": one_prompt(
            coords=torch.tensor([[[0.0, 0], [30, 20]]]), labels=torch.tensor([[-1, 1]])
        ),
        "box": one_prompt(boxes=box),
        "mask": one_prompt(masks=logits),
        "box and points": one_prompt(
            coords=torch.tensor([[[30.0, 20], [2, 1]]]),
            labels=torch.tensor([[1, 0]]),
            boxes=box,
        ),
    }[kind]
    learner = SamLearner(sam)
    pixels = torch.from_numpy(image).float().expand(3, -1, -1) / 255
    found = decoded(learner, pixels, prompt)[0, 1:]
    assert torch.allclose(found, torch.from_numpy(wanted), atol=1e-4)


def test_prompts_of_many_kinds_are_decoded_in_their_order() -> None:
    learner = SamLearner(build_sam())
    image = torch.rand(3, SIDE, SIDE)
    prompts = one_prompt(
        coords=torch.tensor([[[9.0, 9]], [[0, 0]], [[30, 40]], [[0, 0]], [[50, 5]]]),
        labels=torch.tensor([[1], [-1], [0], [-1], [1]]),
        boxes=torch.zeros(5, 4),
    )
    prompts["boxes"][1] = torch.tensor([5.0, 5, 20, 30])
    prompts["boxes"][4] = torch.tensor([1.0, 1, 60, 9])
    prompts["masks"][3] = torch.randn(1, SIDE // 4, SIDE // 4)
    together = decoded(learner, image, prompts)
    for row in range(5):
        alone = {key: value[row : row + 1] for key, value in prompts.items()}
        found = decoded(learner, image, alone)[0]
        assert torch.allclose(found, together[row], atol=1e-4)


@torch.no_grad()
def loss_of(learner: SamLearner, few: FewDiscs, recipe: Recipe) -> float:
    """Loss of a batch that comes long after the end of a run."""
    batch = make_batch(few, recipe, step=999)
    return float(rounds_loss(learner.eval(), batch, recipe, step=999).loss)


@pytest.mark.parametrize(("parts", "most_encoded"), [("decoder", 24), ("lora", 80)])
def test_the_loss_falls_and_the_iou_rises(
    few: FewDiscs, sam_recipe: Recipe, parts: str, most_encoded: int
) -> None:
    recipe = replace(sam_recipe, parts=parts, rounds=(1.0,), validate_every=20)
    learner = learner_for(recipe)
    frozen = {k: v.clone() for k, v in learner.image_encoder.state_dict().items()}
    held_back = [DiscSource().draw(np.random.default_rng(99))]
    trainer = Trainer(learner, few, recipe, validation=Validation(held_back, recipe))
    before = loss_of(learner, few, recipe)
    encoded = []
    learner.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    trainer.run()
    # Kept, the embeddings of three images in eight turns are made once.
    assert len(encoded) - len(trainer.history) <= most_encoded
    assert loss_of(learner, few, recipe) < before - 0.1
    ious = [iou for _, iou in trainer.history]
    assert ious[-1] > 2 * ious[0]
    for key, value in learner.image_encoder.state_dict().items():
        assert torch.equal(value, frozen[key]) is not is_lora(key), key
    if parts == "decoder":
        assert set(trainer.best_state()) == set(build_sam().state_dict())


def test_adapters_learn_and_what_they_stand_beside_stays(
    few: FewDiscs, sam_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = replace(sam_recipe, parts="lora", frame="whole", steps=4, lora_rank=2)
    learner = learner_for(recipe)
    assert learner.cache is None
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    trainer = Trainer(learner, few, recipe)
    trainer.run()
    after = learner.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    inside = {key for key in moved if key.startswith("image_encoder.")}
    assert inside == {key for key in before if is_lora(key)}
    assert {key.split(".")[0] for key in moved - inside} == {
        "prompt_encoder",
        "mask_decoder",
    }
    out = tmp_path / "mine.safetensors"
    write_weights(out, trainer.best_state(), {})
    merged = load_file(out)
    sam = build_sam()
    sam.load_state_dict(merged)
    assert not torch.equal(sam.state_dict()[_qkv()], before[_qkv()])
    average = trainer.average.module
    pixels = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted = average.eval().image_encoder(pixels)
        sam.load_state_dict(merge_lora(trainer.best_state()))
        assert torch.allclose(sam.image_encoder(pixels), wanted, atol=1e-5)


def _qkv() -> str:
    return "image_encoder.blocks.0.attn.qkv.weight"


def test_all_parts_of_a_sam(few: FewDiscs, sam_recipe: Recipe) -> None:
    recipe = replace(sam_recipe, parts="all", frame="whole", steps=2)
    learner = learner_for(recipe)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    Trainer(learner, few, recipe).run()
    assert not torch.equal(learner.state_dict()[_qkv()], before[_qkv()])


@pytest.mark.parametrize("parts", ["decoder", "lora"])
def test_a_resumed_run_ends_like_one_in_one_go(
    few: FewDiscs, sam_recipe: Recipe, tmp_path: Path, parts: str
) -> None:
    recipe = replace(sam_recipe, parts=parts, steps=4)
    whole = Trainer(learner_for(recipe), few, recipe)
    whole.run()
    state = tmp_path / "run.state.pt"
    cut = Trainer(learner_for(recipe), few, recipe, state)

    def stop(progress: Progress) -> None:
        if progress.step == 2:
            cut.save_state()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.run(report=stop, report_every=1)
    encoder = sum(p.numel() for p in build_sam().image_encoder.parameters())
    saved = torch.load(state, weights_only=True)["model"]
    kept = sum(v.numel() for k, v in saved.items() if k.startswith("image_encoder."))
    assert kept < encoder / 10  # what is frozen is not saved
    rest = Trainer(learner_for(recipe), few, recipe, state)
    rest.resume()
    assert rest.step == 2
    rest.run()
    assert rest.step == whole.step == 4
    assert rest.progress().loss == pytest.approx(whole.progress().loss, abs=1e-4)
    other = whole.best_state()
    for key, value in rest.best_state().items():
        assert torch.allclose(value, other[key], atol=1e-4), key


def test_a_copy_shares_what_is_frozen(sam_recipe: Recipe) -> None:
    learner = learner_for(sam_recipe)
    learner.image_encoder.requires_grad_(False)
    other = deepcopy(learner)
    pairs = zip(learner.named_parameters(), other.parameters(), strict=True)
    for (name, one), two in pairs:
        assert (one is two) is name.startswith("image_encoder."), name
    assert other.cache is learner.cache


def test_the_cache_lets_the_oldest_go() -> None:
    cache = EmbeddingCache(budget=2 * 2 * 10)
    for name in (b"a", b"b"):
        cache.put(name, torch.ones(10))
    assert cache.get(b"a") is not None
    cache.put(b"c", torch.ones(10))
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None and cache.get(b"c") is not None


def test_whole_images_are_framed_as_the_predictor_does(few: FewDiscs) -> None:
    image, labels = draw_discs(1, 96)
    wide = TrainingImage(np.stack([image[:48]] * 3), labels[:48])
    window = whole_window(wide, np.random.default_rng(0), 64)
    assert window.image.shape == (3, 128, 128) and window.labels.shape == (64, 64)
    assert window.anchor in np.unique(labels[:48])
    assert not window.labels[32:].any() and window.labels[:32].any()
    padding = SamLearner(build_sam())._prepare(torch.from_numpy(window.image)[None])
    assert padding[..., 64:, :].abs().max() < 1e-5
    assert padding[..., :64, :].abs().mean() > 0.1


def test_fixed_frames_come_again_and_varied_ones_do_not(
    few: FewDiscs, sam_recipe: Recipe
) -> None:
    counts = {}
    for frame in ("fixed", "whole"):
        recipe = replace(sam_recipe, frame=frame)
        rngs = map(np.random.default_rng, range(40))
        windows = [draw_frame(few.images[0], rng, recipe) for rng in rngs]
        counts[frame] = len({window.image.tobytes() for window in windows})
        assert all((window.labels > 0).any() for window in windows)
    assert counts == {"fixed": 8, "whole": 40}


def test_frames_of_a_sam_are_not_for_pocket(few: FewDiscs, sam_recipe: Recipe) -> None:
    with pytest.raises(DataError, match="set frame to"):
        Trainer(Pocket(width=32, window=64), few, sam_recipe)


def test_what_cannot_be_trained_is_refused(sam_recipe: Recipe) -> None:
    with pytest.raises(ModelError, match="interface of its own"):
        as_learner(nn.Linear(2, 2), "odd", sam_recipe)
    pocket = Pocket(width=32, window=64)
    with pytest.raises(ModelError, match="no attention"):
        as_learner(pocket, "pocket", replace(sam_recipe, parts="lora"))
