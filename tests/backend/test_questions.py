"""What propagation has for people becomes a project, and their answers come back from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from backend.questions import MODEL_VERSION
from backend.settings import get_settings
from ml.datasets.label_studio import choose
from tests.backend.cli.typed import lineup


@pytest.fixture
def digits(tmp_path: Path) -> dict[str, str]:
    """The true class of each of 260 digits in `images/`, 60 of them labelled in `first.jsonl`."""
    (tmp_path / "images").mkdir()
    X, y = load_digits(return_X_y=True)
    for row in range(260):
        pixels = (X[row].reshape(8, 8) * 15.9).astype(np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(tmp_path / "images" / f"{row}.png")
    lines = [json.dumps({"image": f"images/{row}.png", "label": str(y[row])}) for row in range(60)]
    (tmp_path / "first.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return {f"{row}.png": str(y[row]) for row in range(260)}


def test_people_answer_in_label_studio(
    digits: dict[str, str], tmp_path: Path, label_studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    get_settings.cache_clear()
    out, cache = tmp_path / "spread", ("--cache", tmp_path / "cache")
    code, said = lineup(
        "propagate", "--labels", tmp_path / "first.jsonl", "--images", tmp_path / "images", "--out", out,
        "--budget", 12, "--review", "--project-title", "Which digit?", "--backbone", "pixels", *cache,
    )  # fmt: skip
    assert code == 0, said
    project = int(said.split("Project ")[1].split(maxsplit=1)[0])
    assert f"--finish project:{project} --out" in said
    asked = [json.loads(line) for line in (out / "to_label.jsonl").open()]
    view = said.split("tab=")[1].split(maxsplit=1)[0]
    shown = label_studio.api("GET", "/api/tasks/", params={"view": view, "project": project, "fields": "all"})
    tasks = shown["tasks"]
    assert [Path(task["data"]["source"]).name for task in tasks] == [Path(row["image"]).name for row in asked]
    for task, row in zip(tasks, asked, strict=True):
        [prediction] = task["predictions"]
        assert prediction["model_version"] == MODEL_VERSION
        assert prediction["result"][0]["value"]["choices"] == [row["suggestion"]]
    # people answer all but two
    for task in tasks[:10]:
        true = digits[Path(task["data"]["source"]).name]
        label_studio.api("POST", f"/api/tasks/{task['id']}/annotations/", {"result": choose(true)})
    code, said = lineup("propagate", "--finish", f"project:{project}", "--out", out, *cache)
    get_settings.cache_clear()
    assert code == 0, said
    labels = [json.loads(line) for line in (out / "labels.jsonl").open()]
    assert len(labels) == 260
    persons = {Path(row["image"]).name for row in labels if row["source"] == "person"}
    assert persons == {Path(row["image"]).name for row in asked[:10]}
    right = [row["label"] == digits[Path(row["image"]).name] for row in labels]
    assert np.mean(right) > 0.85


def test_finishing_takes_what_the_folder_knows(tmp_path: Path) -> None:
    for more in (("--review",), ("--backbone", "pixels"), ("--precision", "0.8")):
        code, said = lineup("propagate", "--finish", tmp_path, "--out", tmp_path, *more)
        assert code == 2
        assert "ANSWERS and --out alone" in said
