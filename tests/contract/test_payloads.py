"""Replay what a real Label Studio sends.

The payloads beside this file were written by `record.py`. A folder of further captures, named by the environment
variable ``LINEUP_SAMPLES``, is replayed too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.protocol import EVENTS, UNKNOWN
from backend.snapshot import SNAPSHOT, SnapshotStore
from tests.backend.trained import HintList, make_settings, make_trained

HERE = Path(__file__).resolve().parent / "payloads"
FOLDERS = [HERE, *(Path(folder) for folder in [os.environ.get("LINEUP_SAMPLES")] if folder)]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("*.json"))]


def requests_in(path: Path) -> list[dict[str, Any]]:
    """Return the captured requests of a file; other files hold none."""
    content = json.loads(path.read_text(encoding="utf-8"))
    items = content if isinstance(content, list) else []
    return [item for item in items if isinstance(item, dict) and {"method", "path", "body"} <= set(item)]


CAPTURED = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in FILES if requests_in(path)]


def project_of(body: Any) -> int | None:
    """Return the project a captured body is about."""
    project = body.get("project") if isinstance(body, dict) else None
    if isinstance(project, dict):
        return int(project["id"])
    return int(str(project).partition(".")[0]) if project is not None else None


@pytest.fixture
def hints() -> HintList:
    return HintList()


@pytest.fixture(params=["untrained", "trained"])
def web(request, tmp_path: Path, hints: HintList) -> TestClient:
    settings = make_settings(tmp_path)
    for project_id in range(1, 6):
        if request.param == "trained":
            make_trained(settings, project_id)
        else:
            SnapshotStore(settings.project_dir(project_id) / SNAPSHOT)
    app = create_app(settings, hints)
    # the images of recorded tasks do not exist
    app.state.service.predictor.newcomers.embed = lambda _, images, *rest: {uri: "gone" for _, uri in images}
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("path", CAPTURED)
def test_every_request_is_understood(path: Path, web: TestClient, hints: HintList):
    versions: dict[int | None, str] = {}
    for item in requests_in(path):
        answer = web.request(item["method"], item["path"], json=item["body"])
        assert answer.status_code == 200, answer.text
        project = project_of(item["body"])
        if item["path"] == "/health":
            assert answer.json()["status"] == "UP"
        elif item["path"] == "/setup":
            versions[project] = answer.json()["model_version"]
        elif item["path"] == "/versions":
            assert isinstance(answer.json()["versions"], list)
        elif item["path"] == "/predict":
            results = answer.json()["results"]
            assert len(results) == len(item["body"]["tasks"])
            setup = {"project": item["body"]["project"], "schema": item["body"]["label_config"]}
            version = web.post("/setup", json=setup).json()["model_version"]
            assert (
                {result["model_version"] for result in results}
                == {version}
                == {versions.get(project, version)}
            )
        elif item["path"] == "/webhook":
            event = item["body"]["action"]
            assert answer.json()["event"] == event
            assert project is None or (project, event) in hints.asked


@pytest.mark.parametrize("path", CAPTURED)
def test_every_event_delivered_twice_asks_for_the_same(path: Path, web: TestClient, hints: HintList):
    events = [item for item in requests_in(path) if item["path"] == "/webhook"]
    for item in events:
        web.post("/webhook", json=item["body"])
    once = set(hints.asked)
    for item in events:
        web.post("/webhook", json=item["body"])
    assert set(hints.asked) == once


def test_every_event_label_studio_names_is_understood():
    names = json.loads((HERE / "event_names.json").read_text(encoding="utf-8"))
    assert names
    assert UNKNOWN not in names
    assert set(names) <= EVENTS


def test_a_recorded_life_covers_the_protocol():
    seen = [item for path in HERE.glob("*.json") for item in requests_in(path)]
    assert {item["path"] for item in seen} == {"/health", "/setup", "/predict", "/webhook", "/versions"}
    assert {item["body"]["action"] for item in seen if item["path"] == "/webhook"} == {
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_CREATED",
        "TASKS_DELETED",
        "PROJECT_UPDATED",
        "START_TRAINING",
    }
    training = requests_in(HERE / "start_training.json")[0]["body"]
    assert "annotation" not in training
    assert requests_in(HERE / "draft.json") == []


def test_credentials_of_a_recorded_connection_are_accepted(tmp_path: Path, hints: HintList):
    settings = make_settings(tmp_path, basic_auth_user="lineup", basic_auth_pass="secret")
    web = TestClient(create_app(settings, hints))
    captured = [
        item for item in requests_in(HERE / "connect_with_basic_auth.json") if item["path"] == "/setup"
    ]
    assert captured
    for item in captured:
        header = {"Authorization": item["headers"]["authorization"]}
        assert web.post("/setup", json=item["body"], headers=header).status_code == 200
        assert web.post("/setup", json=item["body"]).status_code == 401
