"""No name from outside becomes a path outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from backend.app import create_app
from backend.protocol import parse_project
from backend.registry import VersionNotFound
from ml.datasets import Example
from ml.datasets.folders import file_name, folder_name
from ml.vectors import VectorStore
from tests.backend.trained import HintList, Trained

NASTY = [
    "../7",
    "7/../8",
    "..",
    "/etc/passwd",
    "٧",
    "７",
    "7\0",
    "-7",
    "0",
    "7e1",
    "0x7",
    "",
    " 7",
    "7 ",
    "1" * 40,
]


@pytest.mark.parametrize("value", [*NASTY, {"id": "../7"}, {"id": {"id": 7}}, [7], 7.5, True, None])
def test_a_project_is_a_number_and_nothing_else(value: Any) -> None:
    with pytest.raises(ValueError, match="project id"):
        parse_project(value)


@pytest.mark.parametrize("value", NASTY)
def test_no_route_takes_a_path_for_a_project(trained: Trained, hints: HintList, value: str) -> None:
    web = TestClient(create_app(trained.settings, hints))
    before = sorted(trained.settings.model_dir.rglob("*"))
    assert web.get("/versions", params={"project": value}).status_code == 422
    for path, body in {
        "/setup": {"project": value, "schema": "<View/>"},
        "/predict": {"project": value, "tasks": []},
        "/webhook": {"action": "ANNOTATION_CREATED", "project": {"id": value}},
    }.items():
        assert web.post(path, json=body).status_code == 422
    assert sorted(trained.settings.model_dir.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../published", "..", "/etc/passwd", "{}/../{}", "{}\n", "{}/", " {}", "published", "", "."]
)
def test_a_version_is_one_of_the_registrys_own_names(trained: Trained, name: str) -> None:
    with pytest.raises(VersionNotFound):
        trained.registry.load(name.format(trained.version, trained.version))


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "", "/x"])
def test_an_embedders_fingerprint_is_one_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        VectorStore(tmp_path, name, 2)


WORDS = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
PARTS = st.lists(
    st.sampled_from(["..", "/", "\\", "%2e%2e", "%2f", "?d=", ".", "\0", "C:", "a", ".jpg", "~"]), max_size=8
)
TEXT = WORDS | PARTS.map("".join)


@given(
    label=TEXT, image=TEXT.map(lambda text: f"/data/local-files/?d={text}") | TEXT, data=st.binary(max_size=8)
)
@given_settings(max_examples=500, deadline=None)
def test_no_exported_file_leaves_its_folder(label: str, image: str, data: bytes) -> None:
    root = Path("/export")
    folder, name = folder_name(label), file_name(Example(image, label, more={"task": 1}), data)
    assert Path(folder).name == folder
    assert Path(name).name == name
    assert (root / folder / name).resolve() == root / folder / name
    assert not any(ord(letter) < 32 for letter in folder + name)
    assert len((folder).encode()) <= 255 or len(label) > 20
    assert not name.startswith(".")
