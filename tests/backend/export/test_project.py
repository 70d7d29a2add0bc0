"""Exports from a real Label Studio."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.export import export_project
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.reader import read_project, read_tasks
from backend.project import THRESHOLD, Project
from backend.settings import Settings
from backend.snapshot import History
from backend.targets import annotation_state
from demo.annotator import choice
from demo.label_studio import LabelStudioServer

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="digit" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
PIXEL = b"\x89PNG\r\n\x1a\n-one"


@pytest.fixture
def settings(label_studio: LabelStudioServer, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.token,
        model_dir=tmp_path / "models",
    )


@pytest.fixture
def project(label_studio: LabelStudioServer, settings: Settings) -> int:
    """Four tasks: kept, suspect, suspect that was confirmed, corrected; and one without a label."""
    folder = label_studio.files_dir / "export"
    folder.mkdir(exist_ok=True)
    number = label_studio.create_project("export", CONFIG)
    label_studio.serve_folder(number, folder)
    tasks = []
    for index, suspicion in enumerate((0.1, 0.9, 0.9, 0.9, 0.0)):
        (folder / f"{index}.png").write_bytes(PIXEL)
        fields = {"lineup_suspicion": suspicion, "lineup_suggestion": "dog", "lineup_confidence": 0.85}
        uri = label_studio.file_uri(folder / f"{index}.png")
        annotations = [{"result": choice("cat"), "completed_by": label_studio.admin.id}] if index < 4 else []
        tasks.append({"data": {"image": uri, **fields}, "annotations": annotations})
    ids = label_studio.import_tasks(number, tasks)
    with LabelStudioClient(label_studio.url, label_studio.token) as client:
        state = Project.open(settings, read_project(client, number))
        records = {task.id: task for page in read_tasks(client, number) for task in page}
    state.store.set_meta(THRESHOLD, 0.5)
    state.store.put_histories(
        History(task_id, "cat", label_studio.admin.id, annotation_state(records[task_id]))
        for task_id in ids[:4]
    )
    for task_id, label in ((ids[2], "cat"), (ids[3], "dog")):
        annotation = records[task_id].annotations[0].id
        label_studio.api("PATCH", f"/api/annotations/{annotation}/", {"result": choice(label)})
    return number


def test_rows_say_what_was_given_and_what_became_of_it(
    settings: Settings, project: int, tmp_path: Path, label_studio: LabelStudioServer
) -> None:
    done = export_project(settings, project, "jsonl", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(r["given"], r["label"], r["status"]) for r in rows] == [
        ("cat", "cat", "kept"),
        ("cat", "cat", "suspect"),
        ("cat", "cat", "kept"),
        ("cat", "dog", "corrected"),
    ]
    assert {r["annotator"] for r in rows} == {label_studio.admin.email}
    assert rows[0]["image"].startswith("/data/local-files/?d=export/")
    assert (done.rows, done.statuses) == (4, {"kept": 2, "suspect": 1, "corrected": 1})


def test_folders_hold_the_images_themselves(settings: Settings, project: int, tmp_path: Path) -> None:
    done = export_project(settings, project, "folders", tmp_path / "out", apply_suggestions=0.8)
    assert (done.applied, done.left_out) == (1, [])
    files = sorted((tmp_path / "out").glob("*/*.png"))
    assert [f.parent.name for f in files] == ["cat", "cat", "dog", "dog"]
    assert {f.read_bytes() for f in files} == {PIXEL}


def test_what_exists_is_refused_before_anything_is_read(
    settings: Settings, project: int, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("precious")
    with pytest.raises(FileExistsError, match=r"out\.csv"):
        export_project(settings, project, "csv", out)
    assert out.read_text() == "precious"
    assert export_project(settings, project, "csv", out, force=True, drop_suspects=True).rows == 3


def test_wrong_wishes_are_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown export format 'xml'; there are jsonl, csv, json, folders"):
        export_project(settings, 1, "xml", tmp_path / "out")
    with pytest.raises(ValueError, match="from 0 to 1, not 80"):
        export_project(settings, 1, "csv", tmp_path / "out", apply_suggestions=80)
    with pytest.raises(LabelStudioError, match="404"):
        export_project(settings, 999_999, "csv", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
