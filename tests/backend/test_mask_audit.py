"""`lineup audit` on masks as it is typed, and the project of suspects in a real Label Studio."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.labelstudio.config import find_kind
from backend.labelstudio.segmentation import SUSPECT
from backend.settings import get_settings
from ml.mask_sets import read_masks
from ml.masks.regions import paint
from tests.backend.cli.typed import lineup
from tests.backend.test_project_masks import made_project
from tests.ml.audit.shapes import make_damaged
from tests.ml.mask_sets.made import make_set

PREFIX = "lineup_"


@pytest.fixture
def quick(tmp_path: Path) -> list[object]:
    """Options that need no weights and keep to the test's folder."""
    return ["--embedder", "pixels", "--cache", tmp_path / "cache", "--pictures", 3]


@pytest.fixture
def given(label_studio: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of the real Label Studio."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def issues(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "issues.csv").open() as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_masks_are_told_and_audited_beside_their_folder(tmp_path: Path, quick: list[object]) -> None:
    kinds = make_damaged(tmp_path / "scans")
    code, said = lineup("audit", tmp_path / "scans", *quick)
    assert code == 0, said
    assert "100, 4 classes" in said
    folder = tmp_path / "scans-audit"
    assert {path.name for path in folder.glob("[!.]*")} == {
        "issues.csv",
        "issues.jsonl",
        "report.html",
        "suspects",
    }
    rows = issues(folder)
    suspects = [name for name, row in rows.items() if row["status"] == "suspect"]
    assert len(set(suspects) & set(kinds)) >= len(kinds) / 2
    code, said = lineup("audit", tmp_path / "scans", *quick)
    assert code == 1
    assert "--force" in said
    code, said = lineup("audit", tmp_path / "scans", *quick, "--force", "--part", "val")
    assert code == 0, said
    assert {row["split"] for row in issues(folder).values()} == {"val"}
    code, said = lineup("audit", tmp_path / "scans", *quick, "--out", tmp_path / "scans")
    assert code == 1
    assert "would be written over it" in said


def test_what_is_for_images_is_refused(tmp_path: Path, quick: list[object]) -> None:
    scans = make_set(tmp_path / "scans")
    for options, words in (
        (("--truth", "truth"), "has masks; --truth is for classes of whole images"),
        (("--train",), "has masks; --train is for classes of whole images"),
        (("--task", "detection"), "unknown task 'detection'; there are classification, segmentation"),
    ):
        code, said = lineup("audit", scans, *quick, *options)
        assert code in (1, 2)
        assert words in said
    code, said = lineup("audit", scans, *quick, "--task", "classification", "--map", "pca")
    assert code == 0, said
    assert "10, 2 classes" in said
    tasks = [
        {
            "id": 1,
            "data": {"image": "a.png"},
            "annotations": [
                {
                    "result": [
                        {"type": "choices", "value": {"choices": ["cat"]}},
                        {"type": "brushlabels", "value": {"brushlabels": ["cat"], "rle": []}},
                    ]
                }
            ],
        }
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    code, said = lineup("audit", tmp_path / "tasks.json", *quick)
    assert code == 2
    assert "say which are meant, --task classification or --task segmentation" in said


def test_suspects_become_a_project(
    tmp_path: Path, label_studio: Any, quick: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_damaged(tmp_path / "scans")
    for name in [name for name in os.environ if name.startswith("LABEL_STUDIO")]:
        monkeypatch.delenv(name)
    get_settings.cache_clear()
    command = ("audit", tmp_path / "scans", *quick, "--review", "--project-title", "Scans to review")
    code, said = lineup(*command)
    assert code == 2
    assert "LABEL_STUDIO_URL" in said
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    get_settings.cache_clear()
    code, said = lineup(*command)
    get_settings.cache_clear()
    assert code == 0, said
    project = made_project(said)
    rows = issues(tmp_path / "scans-audit")
    suspects = {name: row for name, row in rows.items() if row["status"] == "suspect"}
    raw = label_studio.api("GET", f"/api/projects/{project}/")
    kind = find_kind(raw["label_config"])
    assert kind.name == "segmentation"
    found = read_masks(tmp_path / "scans")
    by_name = {scene.image: scene for scene in found}
    view = int(said.split("tab=")[1].split()[0])
    query = {"view": view, "project": project, "page_size": 500, "fields": "all"}
    tasks = label_studio.api("GET", "/api/tasks/", params=query)["tasks"]
    assert {task["data"]["source"] for task in tasks} == set(suspects)
    told = [task["data"][f"{PREFIX}suspicion"] for task in tasks]
    assert told == sorted(told, reverse=True)
    for task in tasks:
        row, scene = suspects[task["data"]["source"]], by_name[task["data"]["source"]]
        assert task["data"][f"{PREFIX}reason"] == row["reason"]
        assert task["data"]["split"] == scene.split
        [annotation], [prediction] = task["annotations"], task["predictions"]
        mask = found.mask(scene)
        assert np.array_equal(paint(annotation["result"], found.classes, mask.shape), mask)
        assert prediction["score"] == pytest.approx(1 - float(row["suspicion"]), abs=1e-3)
        shown = [one for one in prediction["result"] if str(one["id"]).startswith(SUSPECT)]
        predicted = paint(
            [one for one in prediction["result"] if one not in shown], found.classes, mask.shape
        )
        assert (predicted != mask).any()
        assert bool(shown) == (float(row["suspected"]) > 0)


@pytest.mark.usefixtures("given")
def test_a_project_is_audited(tmp_path: Path, quick: list[object]) -> None:
    make_damaged(tmp_path / "scans", 30)
    code, said = lineup("convert", tmp_path / "scans", "project:new")
    assert code == 0, said
    project = made_project(said)
    code, said = lineup("audit", f"project:{project}", "--out", tmp_path / "out", *quick)
    assert code == 0, said
    assert "30, 4 classes" in said
    alone = lineup("audit", tmp_path / "scans", "--out", tmp_path / "alone", *quick)
    assert alone[0] == 0
    by_project = sorted(row["suspicion"] for row in issues(tmp_path / "out").values())
    assert by_project == sorted(row["suspicion"] for row in issues(tmp_path / "alone").values())
