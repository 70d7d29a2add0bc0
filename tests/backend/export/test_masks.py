"""Masks out of a real Label Studio, and the table of them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.export import export_project
from backend.export.masks import MASK_FORMATS, TABLE_FORMATS
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.reader import read_project, read_tasks
from backend.labelstudio.targets import resolve
from backend.project import THRESHOLD, Project
from backend.settings import Settings
from backend.snapshot import History, Judged
from backend.targets import annotation_state
from demo.label_studio import LabelStudioServer
from ml.datasets import DatasetError
from ml.mask_sets import read_masks
from tests.backend.cli.typed import lineup
from tests.backend.labelstudio.mask_projects import BRUSH, CLASSES, POLYGON, blobs, mask_kind
from tests.backend.labelstudio.projects import CONFIG as CHOICES

SHAPE = (60, 80)
KINDS = {"brush": BRUSH, "polygon": POLYGON}


@dataclass
class Drawn:
    """A project, and its masks by name of the image."""

    id: int
    masks: dict[str, np.ndarray]


@pytest.fixture
def settings(label_studio: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Settings(
        _env_file=None,
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.token,
        model_dir=tmp_path / "models",
    )


@pytest.fixture
def project(
    label_studio: LabelStudioServer, settings: Settings, request: pytest.FixtureRequest, tmp_path: Path
) -> Drawn:
    """Masks: kept, suspect, corrected, nothing drawn; one that is broken, and one that nobody has done."""
    shape = getattr(request, "param", "brush")
    kind = mask_kind(KINDS[shape])
    folder = label_studio.files_dir / tmp_path.name
    folder.mkdir()
    number = label_studio.create_project("masks to export", KINDS[shape])
    label_studio.serve_folder(number, folder)
    masks = {f"{n}.png": blobs(SHAPE, n) for n in range(3)} | {"3.png": np.zeros(SHAPE, dtype=np.uint8)}
    results = [kind.result(mask, 1) for mask in masks.values()]
    broken = json.loads(json.dumps(results[0]))
    broken[0]["value"][f"{kind.shape}labels"] = ["horse"]
    tasks = []
    for n in range(6):
        Image.new("RGB", SHAPE[::-1]).save(folder / f"{n}.png")
        fields = {
            "lineup_suspicion": 0.9 if n == 1 else 0.1,
            "lineup_reason": "object missing" if n == 1 else "",
        }
        data = {"image": label_studio.file_uri(folder / f"{n}.png"), "source": f"{n}.png", **fields}
        given = [*results, broken][n : n + 1]
        tasks.append({"data": data, "annotations": [{"result": result} for result in given]})
    ids = label_studio.import_tasks(number, tasks)
    with LabelStudioClient(label_studio.url, label_studio.token) as client:
        state = Project.open(settings, read_project(client, number))
        records = {task.id: task for page in read_tasks(client, number) for task in page}
    state.store.set_meta(THRESHOLD, 0.5)
    texts = {}
    for task_id in ids[:4]:
        resolved = resolve(records[task_id], kind)
        assert resolved is not None
        texts[task_id] = kind.text(resolved.label)
    before = {ids[2]: "cat #0123456789abcdef"}
    state.store.put_histories(
        History(task, before.get(task, text), label_studio.admin.id, annotation_state(records[task]))
        for task, text in texts.items()
    )
    findings = {"dice": 0.5, "dice_by_class": {"background": 0.75, "cat": 0.25}}
    state.store.put_judged(
        {ids[0]: Judged(texts[ids[0]], findings), ids[2]: Judged(before[ids[2]], findings)}
    )
    return Drawn(number, masks)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_masks_come_with_their_images_and_a_table(settings: Settings, project: Drawn, tmp_path: Path) -> None:
    done = export_project(settings, project.id, "", tmp_path / "out")
    assert (done.rows, done.statuses) == (4, {"kept": 2, "suspect": 1, "corrected": 1})
    assert (done.left_out, done.lost, done.table) == ([], "nothing was lost", tmp_path / "out" / "masks.csv")
    found = read_masks(tmp_path / "out")
    assert found.classes.names == CLASSES
    assert {scene.image: True for scene in found} == dict.fromkeys(project.masks, True)
    assert all(np.array_equal(found.mask(scene), project.masks[scene.image]) for scene in found)
    table = rows(tmp_path / "out" / "masks.csv")
    assert [row["status"] for row in table] == ["kept", "suspect", "corrected", "kept"]
    assert [row["reason"] for row in table] == ["", "object missing", "", ""]
    assert [row["label"] for row in table] == ["cat, dog"] * 3 + ["none"]
    assert table[2]["given"] == "cat"
    # what was judged before the mask was corrected says nothing of it now
    assert [row["dice"] for row in table] == ["0.5", "", "", ""]
    assert [table[0][f"dice {name}"] for name in CLASSES] == ["0.75", "0.25", ""]
    assert {row["suspicion"] for row in table} == {"0.1", "0.9"}


@pytest.mark.parametrize("format", [name for name in MASK_FORMATS if name not in TABLE_FORMATS])
def test_every_format_has_the_masks(settings: Settings, project: Drawn, tmp_path: Path, format: str) -> None:
    out = tmp_path / ("out" if format in ("masks", "mmseg") else "out.json")
    done = export_project(settings, project.id, format, out, drop_suspects=True)
    assert (done.rows, done.dropped) == (3, 1)
    assert done.table is not None
    assert len(rows(done.table)) == 3
    exact = not format.endswith("polygons")
    assert (done.lost == "nothing was lost") == exact
    if format == "coco":
        content = json.loads(out.read_text())
        assert [image["file_name"].startswith("/data/local-files/") for image in content["images"]] == [
            True
        ] * 3
        assert [category["name"] for category in content["categories"]] == ["cat", "dog"]
    if format == "label-studio-brush":
        tasks = json.loads(out.read_text())
        kind = mask_kind(BRUSH.replace('name="b"', 'name="brush"').replace("img", "image"))
        label = kind.target(tasks[0]["annotations"][0]["result"])
        assert label is not None
        assert np.array_equal(kind.mask(label), project.masks["0.png"])


@pytest.mark.parametrize("project", ["polygon"], indirect=True)
def test_polygons_become_masks(settings: Settings, project: Drawn, tmp_path: Path) -> None:
    export_project(settings, project.id, "mmseg", tmp_path / "out")
    found = read_masks(tmp_path / "out")
    assert {scene.split for scene in found} == {"train"}
    for scene in found:
        assert (found.mask(scene) != project.masks[Path(scene.image).name]).mean() < 0.05


def test_the_table_alone(settings: Settings, project: Drawn, tmp_path: Path) -> None:
    done = export_project(settings, project.id, "jsonl", tmp_path / "out.jsonl")
    assert done.rows == 4
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert (first["label"], first["dice"], first["dice dog"]) == (["cat", "dog"], 0.5, None)


def test_what_is_there_is_not_written_over(settings: Settings, project: Drawn, tmp_path: Path) -> None:
    (tmp_path / "out.masks.csv").write_text("precious")
    with pytest.raises(FileExistsError, match=r"out\.masks\.csv"):
        export_project(settings, project.id, "coco", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    assert (tmp_path / "out.masks.csv").read_text() == "precious"
    export_project(settings, project.id, "masks", tmp_path / "out")
    with pytest.raises(FileExistsError):
        export_project(settings, project.id, "masks", tmp_path / "out")
    assert export_project(settings, project.id, "masks", tmp_path / "out", force=True).rows == 4


def test_an_image_that_is_gone_costs_its_own_mask(
    settings: Settings, project: Drawn, tmp_path: Path, label_studio: LabelStudioServer
) -> None:
    (label_studio.files_dir / tmp_path.name / "0.png").unlink()
    done = export_project(settings, project.id, "masks", tmp_path / "out")
    assert done.rows == len(rows(tmp_path / "out" / "masks.csv")) == len(read_masks(tmp_path / "out")) == 3
    [line] = done.left_out
    assert "0.png" in line


def test_wishes_that_do_not_fit_are_named(
    settings: Settings, project: Drawn, tmp_path: Path, label_studio: LabelStudioServer
) -> None:
    with pytest.raises(ValueError, match="has masks: --format is one of masks, mmseg"):
        export_project(settings, project.id, "folders", tmp_path / "out")
    with pytest.raises(ValueError, match="a mask has no other one"):
        export_project(settings, project.id, "masks", tmp_path / "out", apply_suggestions=0.5)
    empty = label_studio.create_project("no masks", BRUSH)
    label_studio.import_tasks(empty, [{"data": {"image": "a.png"}}])
    with pytest.raises(DatasetError, match="no mask that can be written"):
        export_project(settings, empty, "masks", tmp_path / "out")
    with pytest.raises(ValueError, match="has choices: --format is one of jsonl, csv"):
        export_project(settings, label_studio.create_project("choices", CHOICES), "mmseg", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_tells_what_was_written(
    settings: Settings, project: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.cli.export.label_studio_settings", lambda: settings)
    code, said = lineup("export", "--project", project.id, "--out", tmp_path / "out", "--drop-suspects")
    assert code == 0, said
    assert "Wrote 3 rows" in said
    assert "masks.csv" in said
    assert "nothing was lost" in said
    assert "suspects dropped: 1" in said
