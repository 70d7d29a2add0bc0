"""A doctor, a trained project with a running Lineup, and a light server for what needs no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.settings import Settings
from demo.label_studio import LabelStudioServer, free_port
from demo.lineup import LineupServer
from tests.backend.doctor.clinic import Doctor
from tests.backend.labelstudio.web import Reply, Seen, Site
from tests.backend.trained import make_settings
from tests.e2e.conftest import QUICK
from tests.e2e.project import DigitsProject, make_project


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doctor:
    """The command, in a folder without a .env file."""
    monkeypatch.chdir(tmp_path)
    return Doctor(monkeypatch)


@pytest.fixture(scope="module")
def lineup(
    label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineupServer]:
    """A running Lineup with its worker."""
    with LineupServer(label_studio, tmp_path_factory.mktemp("lineup") / "models", **QUICK) as server:
        yield server


@pytest.fixture(scope="module")
def trained_project(label_studio: LabelStudioServer, lineup: LineupServer) -> DigitsProject:
    """A connected project with a published model."""
    project = make_project(label_studio, "doctor", size=60, labelled=40)
    since = time.time()
    lineup.connect(project.id)
    lineup.wait(project.id, since=since)
    return project


@pytest.fixture
def clinic(label_studio: LabelStudioServer, tmp_path: Path) -> Settings:
    """Settings for the real Label Studio, and for a Lineup that is not running yet."""
    port = free_port()
    return make_settings(
        tmp_path,
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.token,
        port=port,
        lineup_url=f"http://127.0.0.1:{port}",
    )


@pytest.fixture
def site() -> Iterator[Callable[..., Site]]:
    """Make servers that answer as told, and end with the test."""
    made: list[Site] = []

    def make(answer: Callable[[Seen], Reply]) -> Site:
        made.append(Site(answer, "127.0.0.1"))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def traces(label_studio: LabelStudioServer) -> Callable[[int], dict[str, Any]]:
    """What Label Studio keeps of a project that a check might change."""

    def look(project: int) -> dict[str, Any]:
        record = label_studio.api("GET", f"/api/projects/{project}")
        tasks = label_studio.api(
            "GET", "/api/tasks", params={"project": project, "fields": "all", "page_size": 500}
        )
        return {
            "webhooks": label_studio.api("GET", "/api/webhooks/", params={"project": project}),
            "backends": [b["id"] for b in label_studio.api("GET", "/api/ml/", params={"project": project})],
            "views": label_studio.api("GET", "/api/dm/views/", params={"project": project}),
            "project": {key: record[key] for key in ("model_version", "sampling", "label_config", "title")},
            "tasks": [
                {key: task[key] for key in ("id", "data", "updated_at", "total_predictions", "predictions")}
                for task in tasks["tasks"]
            ],
        }

    return look
