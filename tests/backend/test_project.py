"""A project's folder belongs to one project, whatever its number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backend.project import PINNED, Project
from backend.registry import Version
from backend.settings import Settings
from backend.snapshot import ProjectInfo, TaskRecord

INFO = ProjectInfo(7, "Birds", "<View/>", "2026-01-01T00:00:00Z", 1, "", "Sequential sampling")


def test_state_comes_back_and_projects_are_known(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, model_dir=tmp_path)
    assert Project.known(settings) == []
    Project.open(settings, INFO).store.upsert([TaskRecord(1, {}, False, "")])
    Project.open(settings, replace(INFO, id=12))
    assert Project.known(settings) == [7, 12]
    assert set(Project.open(settings, replace(INFO, title="Renamed")).store.load().tasks) == {1}


def test_another_project_of_the_same_number_starts_afresh_and_nothing_is_lost(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, model_dir=tmp_path)
    Project.open(settings, INFO).store.upsert([TaskRecord(1, {}, False, "")])
    other = Project.open(settings, replace(INFO, created_at="2026-05-05T00:00:00Z"))
    assert other.store.load().tasks == {}
    assert Project.known(settings) == [7]
    [aside] = [path for path in (tmp_path / "projects").iterdir() if path.name != "7"]
    assert (aside / "snapshot.sqlite").exists()


def test_a_version_that_a_person_went_back_to_stays_until_the_network_is_another(tmp_path: Path) -> None:
    project = Project.open(Settings(_env_file=None, model_dir=tmp_path), INFO)
    served = Version("segmentation-1-0", {"digest": "old", "backbone": "tuned-0"}, {})
    assert project.keeps(served, "old", "labels", "tuned-0")
    assert not project.keeps(served, "new", "labels", "tuned-0")
    project.store.set_meta(PINNED, "labels")
    assert project.keeps(served, "new", "labels", "tuned-0")
    assert not project.keeps(served, "new", "labels", "tuned-1")
    assert not project.keeps(served, "new", "labels", None), "dropped"
