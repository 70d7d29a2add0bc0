"""Suspects of an audit become a project in a real Label Studio."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from backend.cli import app
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fetch import ImageFetcher
from backend.review import create_review
from backend.settings import get_settings
from ml.audit import Findings, audit
from ml.datasets import DatasetError, read_dataset
from ml.embedders.pixels import PixelsEmbedder
from tests.ml.audit.planted import make_digits

PREFIX = "lineup_"


@pytest.fixture(scope="module")
def found(label_studio: Any, tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """An audit of digits in the folder that Label Studio may serve, nothing corrected."""
    source = make_digits(label_studio.files_dir / "audited", 200, 0.1)
    return audit(
        read_dataset(source), PixelsEmbedder(), cache=tmp_path_factory.mktemp("cache"), precision=None
    )


@pytest.fixture
def client(label_studio: Any) -> Any:
    with LabelStudioClient(label_studio.url, label_studio.token) as made:
        yield made


def tasks_of(client: LabelStudioClient, project: int, view: str) -> list[dict[str, Any]]:
    """The tasks of a tab, in its order."""
    answer = client.get("/api/tasks/", {"view": view, "project": project, "page_size": 500, "fields": "all"})
    return list(answer["tasks"])


def test_people_find_the_suspects_first(client: LabelStudioClient, found: Findings) -> None:
    told: list[tuple[int, int]] = []
    review = create_review(
        client, found, title="x" * 80, prefix=PREFIX, progress=lambda done, total: told.append((done, total))
    )
    suspects = found.suspects.tolist()
    assert review.tasks == len(suspects) > 10
    assert told[-1] == (len(suspects), len(suspects))
    shown = tasks_of(client, review.project_id, review.url.rpartition("tab=")[2])
    suspicions = [task["data"]["lineup_suspicion"] for task in shown]
    assert len(shown) == len(suspects)
    assert suspicions == sorted(suspicions, reverse=True)
    by_name = {found.examples[row].image: row for row in suspects}
    for task in shown:
        row = by_name[task["data"]["source"]]
        assert task["data"]["lineup_suggestion"] == found.name(int(found.suggestion[row]))
        assert task["data"]["lineup_reason"] == "model disagrees"
        [annotation] = task["annotations"]
        [region] = annotation["result"]
        assert region["value"]["choices"] == [found.name(int(found.labels[row]))]
    # the images are there, each with its own task
    fetcher = ImageFetcher(client)
    for task in (shown[0], shown[-1]):
        example = found.examples[by_name[task["data"]["source"]]]
        assert example.path is not None
        assert task["data"]["image"].startswith("/data/upload/")
        assert (
            fetcher.fetch(task["data"]["image"], task["id"], review.project_id) == example.path.read_bytes()
        )


def test_served_images_stay_where_they_are(
    client: LabelStudioClient, found: Findings, label_studio: Any
) -> None:
    review = create_review(
        client, found, title="served", prefix="", everything=True, document_root=label_studio.files_dir
    )
    assert review.tasks == 200
    tasks = client.get("/api/tasks/", {"project": review.project_id, "page_size": 500, "fields": "all"})[
        "tasks"
    ]
    first = min(tasks, key=lambda task: task["id"])
    row = int(found.suspects[0])
    assert first["data"]["source"] == found.examples[row].image
    assert first["data"]["suspicion"] == round(float(found.suspicion[row]), 4)
    image = httpx.get(
        label_studio.url + first["data"]["image"],
        headers={"Authorization": f"Token {label_studio.token}"},
        trust_env=False,
    )
    path = found.examples[row].path
    assert path is not None
    assert image.content == path.read_bytes()
    # those above the threshold alone are in the tab
    shown = tasks_of(client, review.project_id, review.url.rpartition("tab=")[2])
    assert len(shown) == len(found.suspects)


def test_a_project_that_cannot_be_finished_is_deleted(
    client: LabelStudioClient, found: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = client.get("/api/projects/")["count"]

    def refuse(self: LabelStudioClient, path: str, json: Any = None, **more: Any) -> Any:
        if path.startswith("/api/dm/views"):
            raise LabelStudioError(500, "POST", path, "no tabs today")
        return self.request("POST", path, json=json, **more)

    monkeypatch.setattr(LabelStudioClient, "post", refuse)
    with pytest.raises(LabelStudioError, match="no tabs today"):
        create_review(client, found, title="half", prefix=PREFIX)
    with pytest.raises(DatasetError, match="is not below"):
        create_review(client, found, title="elsewhere", prefix=PREFIX, document_root=tmp_path)
    assert client.get("/api/projects/")["count"] == before


def test_the_command_makes_the_project_and_corrects_nothing(
    label_studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_digits(tmp_path / "set", 200, 0.1)
    options = ["--embedder", "pixels", "--cache", str(tmp_path / "cache"), "--map", "pca", "--review"]
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LABEL_STUDIO")]:
        monkeypatch.delenv(name)
    get_settings.cache_clear()
    done = CliRunner().invoke(app, ["audit", str(source), *options])
    assert done.exit_code == 2
    assert "LABEL_STUDIO_URL" in done.output
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    get_settings.cache_clear()
    done = CliRunner().invoke(app, ["audit", str(source), *options, "--project-title", "Digits to review"])
    get_settings.cache_clear()
    said = " ".join(done.output.split())
    assert done.exit_code == 0, said
    assert "corrected │" not in said
    projects = label_studio.api("GET", "/api/projects/", params={"page_size": 1000})["results"]
    [project] = [one for one in projects if one["title"] == "Digits to review"]
    assert f"Project {project['id']} with {project['task_number']} tasks" in said
    assert '"status": "corrected"' not in (tmp_path / "set" / "corrected_labels.jsonl").read_text()
