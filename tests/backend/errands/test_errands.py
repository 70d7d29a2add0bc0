"""Work on datasets over HTTP: asked for, watched, and kept below one folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sklearn.datasets import load_digits

from backend.app import create_app
from backend.errands.book import ErrandBook
from backend.errands.paths import NotAllowed, below
from backend.errands.runner import MOST, ErrandRunner, TooMany
from tests.backend.trained import HintList, make_settings


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 120 digits, lists of two halves, and a list that names a file elsewhere."""
    top = tmp_path_factory.mktemp("errands")
    folder = top / "data"
    (folder / "images").mkdir(parents=True)
    X, y = load_digits(return_X_y=True)
    rows = []
    for number in range(120):
        pixels = (X[number].reshape(8, 8) * 15.9).astype(np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(folder / "images" / f"{number}.png")
        rows.append(json.dumps({"image": f"images/{number}.png", "label": str(y[number])}))
    (folder / "train.jsonl").write_text("\n".join(rows[:60]))
    (folder / "val.jsonl").write_text("\n".join(rows[60:]))
    Image.new("RGB", (8, 8)).save(top / "secret.png")
    (folder / "sly.jsonl").write_text(json.dumps({"image": str(top / "secret.png"), "label": "1"}))
    (folder / "link").symlink_to(top)
    return folder


@pytest.fixture
def web(root: Path, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(make_settings(tmp_path, data_root=root), HintList())
    with TestClient(app) as client:
        yield client


def wait(web: TestClient, answer: Any) -> dict[str, Any]:
    """Wait for an errand to end; return its record."""
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found: dict[str, Any] = web.get(answer.json()["url"]).json()
        if found["state"] in ("done", "failed"):
            return found
        time.sleep(0.2)
    raise AssertionError(found)


def test_the_next_batch_and_what_labels_are_worth(web: TestClient, root: Path) -> None:
    ask = {"path_to_img": "images", "path_to_labels": "train.jsonl", "add": 5, "backbone": "pixels"}
    first = web.post("/api/active_learning", json={**ask, "method": "margin"})
    parts = {"path_to_labels_train": "train.jsonl", "path_to_labels_val": str(root / "val.jsonl")}
    second = web.post("/api/f1", json={**parts, "backbone": "pixels"})
    chosen = wait(web, first)
    assert chosen["error"] is None
    assert chosen["result"]["pool"] == 60
    names = [row["image"] for row in chosen["result"]["images"]]
    assert len(names) == 5
    assert {int(Path(name).stem) >= 60 for name in names} == {True}
    worth = wait(web, second)
    assert worth["result"]["macro_f1"] > 0.5
    assert worth["done"] == worth["total"] == 60


def test_what_cannot_be_used_is_left_out_on_demand(web: TestClient, root: Path, tmp_path: Path) -> None:
    lines = (root / "train.jsonl").read_text()
    (root / "holes.jsonl").write_text(lines + '\n{"image": "images/none.png", "label": "3"}')
    parts = {"path_to_labels_train": "holes.jsonl", "path_to_labels_val": "val.jsonl", "backbone": "pixels"}
    found = wait(web, web.post("/api/f1", json=parts))
    assert "there is no image images/none.png" in found["error"]
    found = wait(web, web.post("/api/f1", json={**parts, "skip_problems": True}))
    assert found["error"] is None
    [problem] = found["result"]["left_out"]
    assert "holes.jsonl, line 61: there is no image images/none.png" in problem


def test_what_goes_wrong_is_told(web: TestClient) -> None:
    ask = {"path_to_img": "images", "add": 5, "backbone": "pixels"}
    found = wait(web, web.post("/api/active_learning", json={**ask, "method": "vibes"}))
    assert (found["state"], found["result"]) == ("failed", None)
    assert "unknown query strategy 'vibes'" in found["error"]
    found = wait(web, web.post("/api/active_learning", json={**ask, "path_to_labels": "sly.jsonl"}))
    assert "is not below DATA_ROOT" in found["error"]
    for body, words in (
        ({**ask, "path_to_img": "../secret.png"}, "is not below DATA_ROOT"),
        ({**ask, "path_to_img": "/etc"}, "is not below DATA_ROOT"),
        ({**ask, "path_to_img": "link/secret.png"}, "is not below DATA_ROOT"),
        ({**ask, "path_to_img": "missing"}, "there is no 'missing'"),
        ({**ask, "add": 0}, "add"),
        ({**ask, "path_to_img": "x" * 300}, "there is no"),
        ({**ask, "backbone": "timm:resnet18@/etc/passwd"}, "backbone"),
        ({**ask, "colour": "red"}, "colour"),
        ({**ask, "task": "detection"}, "classification"),
    ):
        answer = web.post("/api/active_learning", json=body)
        assert answer.status_code == 422
        assert words in answer.text
    assert web.get("/api/errands/../../etc/passwd").status_code == 404
    assert web.get(f"/api/errands/{'0' * 32}").status_code == 404


def test_without_a_root_nothing_is_read(tmp_path: Path) -> None:
    with TestClient(create_app(make_settings(tmp_path), HintList())) as web:
        answer = web.post("/api/active_learning", json={"path_to_img": "/etc", "add": 1})
    assert answer.status_code == 422
    assert "DATA_ROOT" in answer.text
    with pytest.raises(NotAllowed):
        below(None, "x")


def test_errands_are_ended_with_the_server_and_those_that_wait_are_kept(tmp_path: Path, root: Path) -> None:
    settings = make_settings(tmp_path, data_root=root)
    book = ErrandBook(settings.model_dir)
    ask = {"path_to_img": "images", "add": 3, "backbone": "pixels"}
    runner = ErrandRunner(settings)
    waiting = [runner.ask("active_learning", ask) for _ in range(MOST)]
    with pytest.raises(TooMany, match="50 errands wait"):
        runner.ask("active_learning", ask)
    for errand in waiting[2:]:
        (book.folder / f"{errand.id}.json").unlink()
    runner = ErrandRunner(settings)
    runner.start()
    deadline = time.monotonic() + 60
    while book.read(waiting[0].id).state == "waiting":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    runner.stop()
    assert book.read(waiting[1].id).state == "waiting"
    again = ErrandRunner(settings)
    again.start()
    while book.read(waiting[1].id).state != "done":
        assert time.monotonic() < deadline + 60
        time.sleep(0.1)
    again.stop()
    stopped = book.read(waiting[0].id)
    assert stopped.state == "done" or "was stopped meanwhile" in str(stopped.error)
