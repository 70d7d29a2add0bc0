"""A stack that is well, looked at as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.doctor.checks import CHECKS
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.backend.doctor.clinic import Doctor
from tests.e2e.project import DigitsProject


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if ".sqlite-" not in path.name}


def test_all_is_well_and_stays_as_it_was(
    doctor: Doctor,
    lineup: LineupServer,
    trained_project: DigitsProject,
    traces: Callable[[int], dict[str, Any]],
) -> None:
    settings, project = lineup.settings, trained_project.id
    before, kept = traces(project), files(settings.model_dir)
    said = doctor(settings, project)
    assert said.exit_code == 0, said.found
    assert {check for check, _ in said.found} == {check.name for check in CHECKS}
    assert {name for (name, _), found in said.found.items() if found["status"] != "ok"} <= {
        "gpu",
        "ray",
        "redis",
        "shared folder",
    }
    assert "1.23" in said["label studio"]["line"]
    assert "legacy token of admin@example.com" in said["token"]["line"]
    assert lineup.url in said["callback"]["line"]
    assert "with credentials" in said["webhook"]["line"]
    assert "predicted by choices-" in said["task"]["line"]
    assert traces(project) == before
    assert files(settings.model_dir) == kept


def test_the_order_is_the_one_that_people_are_served(
    doctor: Doctor, label_studio: LabelStudioServer, lineup: LineupServer, trained_project: DigitsProject
) -> None:
    line = doctor(lineup.settings, trained_project.id)["order"]["line"]
    someone = label_studio.user("doctor@example.com")
    served = label_studio.api(
        "POST", f"/api/dm/actions?id=next_task&project={trained_project.id}", {}, token=someone.token
    )
    assert line.startswith(f"task {served['id']} ")


def test_what_people_read(doctor: Doctor, lineup: LineupServer, trained_project: DigitsProject) -> None:
    result = doctor.run(lineup.settings)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok      settings")
    assert "0 failed, 0 to look at" in lines[-1]
    project = f"[project {trained_project.id}]"
    assert sum(line.endswith(project) for line in lines) == sum(check.each_project for check in CHECKS)
    failing = doctor.run(lineup.settings, LABEL_STUDIO_API_KEY="f" * 40)
    assert failing.exit_code == 1
    assert "failure token" in failing.stdout
    assert "→ LABEL_STUDIO_API_KEY is not a token" in failing.stdout
    assert "skipped callback           needs token" in failing.stdout
