"""Whether Label Studio reaches Lineup, and what the question leaves behind: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.doctor.knock import PARAMETER, answer_knock, is_knock, knocking
from backend.labelstudio.client import LabelStudioClient
from backend.settings import Settings
from demo.label_studio import LabelStudioServer, free_port
from tests.backend.doctor.clinic import Doctor, serving
from tests.backend.labelstudio.projects import make_project
from tests.backend.labelstudio.web import Reply, Seen, Site
from tests.backend.trained import make_settings


@pytest.fixture
def project(label_studio: LabelStudioServer) -> int:
    return make_project(label_studio, "reach", 1)[0]


Traces = Callable[[int], dict[str, Any]]


def test_reached_and_nothing_is_left(doctor: Doctor, clinic: Settings, project: int, traces: Traces) -> None:
    before = traces(project)
    with serving(clinic) as hints:
        said = doctor(clinic, project)
    assert said["callback"]["status"] == "ok"
    assert said["private addresses"]["status"] == "ok"
    assert said["connection"]["fix"] == f"lineup connect --project {project}"
    assert traces(project) == before
    assert hints.asked == []
    assert not list(clinic.model_dir.glob(".doctor-*"))


def test_reached_without_a_project_of_ones_own(doctor: Doctor, clinic: Settings, project: int) -> None:
    with serving(clinic):
        assert doctor(clinic)["callback"]["status"] == "ok"


def test_nothing_is_there(doctor: Doctor, clinic: Settings, project: int) -> None:
    said = doctor(clinic, project)
    assert "nothing answers Label Studio" in said["callback"]["line"]
    assert "lineup serve" in said["callback"]["fix"]


def test_an_address_only_lineup_itself_reaches(
    doctor: Doctor, clinic: Settings, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one name, two machines: for Label Studio it is a closed port, for the doctor the running server
    with serving(clinic):
        closed = clinic.model_copy(update={"lineup_url": f"http://127.0.0.1:{free_port()}"})
        monkeypatch.setattr("backend.doctor.reach._answers_here", lambda _: True)
        said = doctor(closed, project)
    assert "answers" in said["callback"]["line"]
    assert "from here, but not when Label Studio calls" in said["callback"]["line"]


def test_a_user_and_password_the_server_does_not_know(doctor: Doctor, clinic: Settings, project: int) -> None:
    guarded = clinic.model_copy(update={"basic_auth_user": "lineup"})
    guarded.basic_auth_pass = type(clinic.basic_auth_pass)("right")
    with serving(guarded):
        assert doctor(guarded, project)["callback"]["status"] == "ok"
        for given in ("wrong", ""):
            user = {"BASIC_AUTH_USER": "lineup" if given else "", "BASIC_AUTH_PASS": given}
            said = doctor(guarded, project, **user)
            assert "refuses BASIC_AUTH_USER" in said["callback"]["line"]


def test_another_lineup(doctor: Doctor, clinic: Settings, project: int, tmp_path: Path) -> None:
    with serving(clinic):
        said = doctor(clinic, project, MODEL_DIR=str(tmp_path / "others"))
    assert "keeps its state in another MODEL_DIR" in said["callback"]["line"]
    assert not list((tmp_path / "others").glob(".doctor-*"))


def test_something_that_is_no_backend(
    doctor: Doctor, clinic: Settings, project: int, site: Callable[..., Site]
) -> None:
    shop = site(lambda seen: Reply.of({}, 200 if seen.path == "/health" else 404))
    said = doctor(clinic, project, LINEUP_URL=shop.url)
    assert "is not Lineup: 404 Client Error" in said["callback"]["line"]


def test_another_backend_is_not_connected(
    doctor: Doctor, clinic: Settings, project: int, site: Callable[..., Site], traces: Traces
) -> None:
    def accepting(seen: Seen) -> Reply:
        return Reply.of({"status": "UP", "model_version": "theirs"})

    before = traces(project)
    said = doctor(clinic, project, LINEUP_URL=site(accepting).url)
    assert "but not this Lineup" in said["callback"]["line"]
    assert traces(project) == before


def test_private_addresses_blocked(doctor: Doctor, clinic: Settings, tmp_path: Path) -> None:
    environment = {"ML_BLOCK_LOCAL_IP": "true", "SSRF_PROTECTION_ENABLED": "true"}
    with LabelStudioServer(tmp_path / "careful", environment=environment) as careful, serving(clinic):
        reached = {"LABEL_STUDIO_URL": careful.url, "LABEL_STUDIO_API_KEY": careful.token}
        none = doctor(clinic, **reached)
        assert none["callback"]["line"].startswith("Label Studio has no project")
        project = make_project(careful, "blocked", 1)[0]
        said = doctor(clinic, project, **reached)
        assert LabelStudioClient(careful.url, careful.token).get("/api/webhooks/", {"project": project}) == []
    assert "private addresses" in said.failed()
    assert (
        said["private addresses"]["fix"]
        == "Start it with ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false"
    )
    assert said["callback"]["status"] == "skipped"


class TestKnock:
    def test_a_file_is_taken_away_once(self, tmp_path: Path) -> None:
        with knocking(tmp_path) as (parameters, path):
            assert path.exists()
            assert is_knock(parameters)
            assert answer_knock(tmp_path, parameters)
            assert not answer_knock(tmp_path, parameters)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["../../secret", "", "a" * 33, 7, None, ["x"], "A" * 32])
    def test_no_other_file_is(self, tmp_path: Path, name: object) -> None:
        kept = (
            tmp_path / f".doctor-{name}" if isinstance(name, str) and "/" not in name else tmp_path / "kept"
        )
        kept.touch()
        assert not answer_knock(tmp_path, {PARAMETER: name})  # type: ignore[dict-item]
        assert kept.exists()

    @pytest.mark.parametrize("parameters", [None, {}, [PARAMETER], PARAMETER, {"other": 1}])
    def test_what_label_studio_sends_otherwise_is_none(self, parameters: object) -> None:
        assert not is_knock(parameters)

    def test_a_folder_nobody_may_write_to(
        self, doctor: Doctor, clinic: Settings, project: int, tmp_path: Path
    ) -> None:
        blocked = tmp_path / "file"
        blocked.touch()
        settings = make_settings(tmp_path, label_studio_url=clinic.label_studio_url)
        said = doctor(settings, project, MODEL_DIR=str(blocked), LABEL_STUDIO_API_KEY=clinic.api_key)
        assert said["callback"]["line"] == "MODEL_DIR cannot be written to: see disk"
        assert "disk" in said.failed()
