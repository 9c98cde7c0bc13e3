"""What is particular to annotation files and tables of objects."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from napari_sam.errors import ExportError
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.export import get_exporter
from napari_sam.export.annotations import coco_document, sa1b_document, write_json
from napari_sam.export.objects import ExportedObject, objects_of
from napari_sam.export.table import PixelSize, write_table
from napari_sam.structures import MaskRecord


def two_objects() -> list[ExportedObject]:
    square = MaskRecord(np.ones((2, 3), bool), (1, 2), 0.9, 0.8)
    bar = MaskRecord(np.ones((1, 4), bool), (5, 0), 0.7, 0.6)
    return [
        ExportedObject(1, square, "nuclei", 1, 0.95),
        ExportedObject(2, bar, "bacteria", 2, 0.5),
    ]


def test_coco_names_classes_and_counts_boxes_from_the_left() -> None:
    document = coco_document(two_objects(), (8, 9), "image.png")
    assert [each["name"] for each in document["categories"]] == ["nuclei", "bacteria"]
    first = document["annotations"][0]
    assert first["bbox"] == [2, 1, 3, 2]
    assert (first["area"], first["category_id"], first["score"]) == (6, 1, 0.95)


@pytest.mark.parametrize("document", [coco_document, sa1b_document])
def test_evaluation_reads_what_is_written(document: object, tmp_path: Path) -> None:
    import imageio.v3 as imageio

    imageio.imwrite(tmp_path / "image.png", np.zeros((8, 9), np.uint8))
    path = tmp_path / "found.json"
    write_json(path, document(two_objects(), (8, 9), "image.png"))  # type: ignore[operator]
    (images,) = open_datasets(path)
    (image,) = list(images)
    wanted = [each.record.mask.sum() for each in two_objects()]
    assert [target.area for target in image.targets] == wanted


@pytest.mark.parametrize("name", ["coco", "sa1b"])
def test_stacks_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="one 2D image"):
        get_exporter(name).write(tmp_path / "x.json", np.ones((2, 3, 4), int))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("coco", "no json", "no readable JSON"),
        ("coco", "{}", "no COCO file"),
        ("sa1b", json.dumps({"images": [1]}), "no SA-1B file"),
        (
            "sa1b",
            json.dumps(
                {
                    "image": {"height": 2, "width": 2},
                    "annotations": [{"id": 1, "segmentation": [[0, 0, 1, 1]]}],
                }
            ),
            "cannot be read",
        ),
    ],
)
def test_what_is_no_annotation_file_is_refused(
    name: str, content: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ExportError, match=reason):
        get_exporter(name).read(path)


def test_a_table_has_a_row_for_each_object(tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    write_table(path, two_objects(), PixelSize(0.5, 0.5, "µm"))
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["nuclei", "bacteria"]
    assert rows[0]["area_µm2"] == "1.5"
    assert (rows[0]["centroid_row"], rows[0]["centroid_col"]) == ("2.00", "3.50")
    assert [rows[1][key] for key in ("row0", "col0", "row1", "col1")] == list("5064")


def test_an_empty_table_has_its_header(tmp_path: Path) -> None:
    path = tmp_path / "objects.csv"
    write_table(path, [])
    assert path.read_text().startswith("id,class,text_score")


def test_labels_become_objects_in_the_order_of_their_ids() -> None:
    labels = np.array([[7, 0, 2], [7, 0, 2]])
    assert [(each.id, each.box) for each in objects_of(labels)] == [
        (2, (0, 2, 2, 3)),
        (7, (0, 0, 2, 1)),
    ]


def test_what_a_table_tells_is_written(tmp_path: Path) -> None:
    labels = np.zeros((8, 9), np.int32)
    labels[1:3, 2:5], labels[5, :4], labels[7, 8] = 4, 7, 9
    table = {
        "index": [7, 4, 3],
        "class": ["bacteria", "nuclei", "gone"],
        "predicted_iou": [0.7, 0.9, 0.1],
        "text_score": [float("nan"), 0.95, 0.1],
    }
    path = tmp_path / "found.json"
    get_exporter("coco").write(path, labels, table)
    written = json.loads(path.read_text())
    names = {each["id"]: each["name"] for each in written["categories"]}
    first, second, unknown = written["annotations"]
    classes = [names[each["category_id"]] for each in (first, second, unknown)]
    assert classes == ["nuclei", "bacteria", "object"]
    assert [each["predicted_iou"] for each in (first, second, unknown)] == [0.9, 0.7, 1]
    assert first["score"] == 0.95
    assert "score" not in second, "it was not found by words"
    get_exporter("sa1b").write(path, labels, table)
    annotations = json.loads(path.read_text())["annotations"]
    assert [each["phrase"] for each in annotations] == classes
