"""Words on pictures whose truth is known, by the bundled model and CLIP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam import create_model
from napari_sam.errors import DataError, ImageError, ModelError, PromptError
from napari_sam.evaluation.datasets import label_targets
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.text_exemplars import Concept, ExemplarPrompt
from napari_sam.inference.text_prompt import TextSegmenter
from napari_sam.structures import MaskRecord, PointPrompt, PromptSet, TextPrompt
from napari_sam.synthetic import SCENES, SyntheticScene


def records_of(scene: SyntheticScene) -> list[MaskRecord]:
    targets = [t for t in label_targets(scene.labels) if t.area >= 30]
    return [MaskRecord(t.mask, t.origin, 0.9, 1.0) for t in targets]


@pytest.fixture(scope="module")
def predictor() -> SamPredictor:
    return SamPredictor(create_model("pocket", device="cpu"))


@pytest.fixture(scope="module")
def nuclei(predictor: SamPredictor) -> TextSegmenter:
    """Words on a picture of nuclei, whose true masks are the candidates."""
    scene = SCENES["fluorescence_nuclei"](np.random.default_rng(3), (256, 256))
    segmenter = TextSegmenter(predictor, find=lambda _: records_of(scene))
    segmenter.set_image(scene.image)
    return segmenter


def share_found(segmenter: TextSegmenter, phrase: str) -> float:
    found = segmenter.candidates(None, phrase)
    return len(found.select().instances) / len(found.records)


@pytest.mark.parametrize(
    "phrase", ["nuclei", "Nucleus", "nuclie", "DAPI-stained nuclei"]
)
def test_the_right_word_finds_nearly_all(nuclei: TextSegmenter, phrase: str) -> None:
    assert share_found(nuclei, phrase) > 0.7


@pytest.mark.parametrize("phrase", ["worms", "mitochondria", "neurites"])
def test_the_wrong_word_finds_nearly_nothing(
    nuclei: TextSegmenter, phrase: str
) -> None:
    found = nuclei.candidates(None, phrase)
    assert len(found.select().instances) <= 0.1 * len(found.records)


def test_several_classes_share_the_candidates_out(nuclei: TextSegmenter) -> None:
    found = nuclei.candidates(None, "blobs: nuclei\nworms")
    assert found.names == ("blobs", "worms")
    selection = found.select()
    assert {each.phrase for each in selection.instances} >= {"blobs"}
    assert found.scores.shape == (len(found.records), 2)


def test_examples_find_the_rest(nuclei: TextSegmenter) -> None:
    records = nuclei.candidates(None, "nuclei").records
    example = ExemplarPrompt("like these", records[:2])
    found = nuclei.candidates(None, like=[example])
    assert len(found.select(0.3).instances) > 0.5 * len(records)


def test_a_concept_is_small_and_comes_back(
    nuclei: TextSegmenter, tmp_path: Path
) -> None:
    records = nuclei.candidates(None, "nuclei").records
    concept = nuclei.learn("mine", "nuclei", ExemplarPrompt("x", records[:20]), 0.4)
    path = tmp_path / "mine.json"
    concept.save(path)
    assert path.stat().st_size < 20_000
    back = Concept.load(path)
    assert (back.name, back.phrase, back.threshold) == ("mine", "nuclei", 0.4)
    scores = nuclei.candidates(None, concepts=[back]).scores[:, 0]
    assert np.median(scores) > 0.5
    foreign = Concept("x", "", back.accepted, back.rejected, 0.5, "another clip")
    with pytest.raises(ModelError, match="another CLIP"):
        nuclei.candidates(None, concepts=[foreign])


def test_damaged_concepts_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable concept"):
        Concept.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(DataError, match="no readable concept"):
        Concept.load(tmp_path / "bad.json")


def test_asking_for_nothing_or_without_an_image_is_refused(
    predictor: SamPredictor,
) -> None:
    segmenter = TextSegmenter(predictor)
    with pytest.raises(PromptError, match="Say what to find"):
        segmenter.candidates(None)
    with pytest.raises(ImageError, match="no image"):
        segmenter.candidates(None, "nuclei")
    with pytest.raises(ModelError, match="train-text --tokens"):
        segmenter.region("nuclei")


def test_the_name_decides_what_a_click_means(predictor: SamPredictor) -> None:
    segmenter, areas = TextSegmenter(predictor, find=lambda _: []), {}
    for seed in (2, 4, 6):
        make = SCENES["fluorescence_cells"]
        scene = make(np.random.default_rng(seed), (192, 192))
        segmenter.set_image(scene.image)
        for part in label_targets(scene.layers["nucleus"])[:4]:
            row, col = np.add(part.origin, np.array(part.mask.shape) // 2)
            click = (PointPrompt((float(row), float(col))),)
            for word in ("nucleus", "cell"):
                prompts = PromptSet(click, text=TextPrompt(word))
                told = segmenter.predict(prompts)
                assert told.masks.shape[0] == len(told.low_res_masks)
                areas.setdefault(word, []).append(told.masks[told.best].sum())
    assert np.mean(areas["nucleus"]) < 0.9 * np.mean(areas["cell"])


def test_a_wrong_name_is_rated_lower(nuclei: TextSegmenter) -> None:
    record = nuclei.candidates(None, "nuclei").records[0]
    row, col = np.add(record.origin, np.array(record.mask.shape) // 2)
    point = PointPrompt((float(row), float(col)))
    right = nuclei.predict(PromptSet((point,), text=TextPrompt("nuclei")))
    wrong = nuclei.predict(PromptSet((point,), text=TextPrompt("worms")))
    assert right.predicted_iou.max() > wrong.predicted_iou.max()
    assert right.masks[right.best][int(row), int(col)]
    with pytest.raises(PromptError, match="add a TextPrompt"):
        nuclei.predict(PromptSet((point,)))
    with pytest.raises(PromptError, match="call candidates"):
        nuclei.predict(PromptSet(text=TextPrompt("nuclei")))


def test_all_by_itself_on_small_pictures(predictor: SamPredictor) -> None:
    segmenter, overlaps = TextSegmenter(predictor), []
    for seed in range(5, 9):
        make = SCENES["fluorescence_nuclei"]
        scene = make(np.random.default_rng(seed), (192, 192))
        found = segmenter.candidates(scene.image, "nuclei")
        labels, truth = found.select().labels(), scene.labels > 0
        both, either = (labels > 0) & truth, (labels > 0) | truth
        overlaps.append(both.sum() / either.sum())
        heat = found.similarity_map("nuclei")
        assert heat[truth].mean() > heat[~truth].mean()
    # A word may miss a picture, but not most of them.
    assert np.mean(overlaps) > 0.4


def test_an_empty_picture_has_nothing(predictor: SamPredictor) -> None:
    found = TextSegmenter(predictor, find=lambda _: []).candidates(
        np.zeros((64, 64), np.uint8), "nuclei"
    )
    selection = found.select()
    assert selection.not_found == ("nuclei",)
    assert not selection.labels().any()
