"""One project, spoilt in every way the doctor knows, and mended by what it advises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.connect import connect
from backend.settings import Settings
from backend.status import LastError, Status, read_status, write_status
from demo.digits import LABEL_CONFIG, render
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.backend.doctor.clinic import Doctor, serving
from tests.backend.labelstudio.web import Site
from tests.e2e.project import DigitsProject

Hook = dict[str, Any]


class TestWebhook:
    @pytest.fixture
    def served(self, clinic: Settings) -> Iterator[Settings]:
        secret = clinic.model_copy(update={"webhook_secret": type(clinic.basic_auth_pass)("the secret")})
        with serving(secret):
            yield secret

    @pytest.fixture
    def connected(self, served: Settings, label_studio: LabelStudioServer) -> int:
        project = label_studio.create_project("webhook", LABEL_CONFIG)
        connect(served, project)
        return project

    def test_each_way_to_spoil_it(
        self, doctor: Doctor, served: Settings, connected: int, label_studio: LabelStudioServer
    ) -> None:
        target = f"{served.lineup_url}/webhook"

        def hooks() -> list[Hook]:
            found: list[Hook] = label_studio.api("GET", "/api/webhooks/", params={"project": connected})
            return found

        def change(**fields: Any) -> None:
            label_studio.api("PATCH", f"/api/webhooks/{hooks()[0]['id']}/", {"url": target, **fields})

        def delete() -> None:
            label_studio.api("DELETE", f"/api/webhooks/{hooks()[0]['id']}/")

        def repeat() -> None:
            label_studio.api("POST", "/api/webhooks/", {"url": target, "project": connected})

        spoilt: list[tuple[Callable[[], None], str]] = [
            (delete, "no webhook to"),
            (repeat, "2 webhooks to"),
            (lambda: change(headers={}), "lacks the right X-Lineup-Secret"),
            (lambda: change(headers={"X-Lineup-Secret": "old"}), "lacks the right X-Lineup-Secret"),
            (lambda: change(is_active=False), "is switched off"),
            (lambda: change(send_payload=False), "leaves out events"),
        ]
        assert doctor(served, connected)["webhook"]["status"] == "ok"
        for spoil, words in spoilt:
            spoil()
            found = doctor(served, connected)["webhook"]
            assert found["status"] == "failure"
            assert words in found["line"]
            assert found["fix"] == f"lineup connect --project {connected}"
            connect(served, connected)
            assert doctor(served, connected)["webhook"]["status"] == "ok"

    def test_a_secret_is_never_shown(self, doctor: Doctor, served: Settings, connected: int) -> None:
        shown = doctor.run(served, "--project", str(connected)).output
        assert "the secret" not in shown
        assert served.api_key not in shown

    def test_a_connection_whose_lineup_is_gone(
        self, doctor: Doctor, clinic: Settings, label_studio: LabelStudioServer
    ) -> None:
        project = label_studio.create_project("gone", LABEL_CONFIG)
        with serving(clinic):
            connect(clinic, project)
        found = doctor(clinic, project)["connection"]
        assert found["status"] == "failure"
        assert "Disconnected" in found["line"]


class TestLabelConfig:
    @pytest.mark.parametrize(
        ("config", "words"),
        [
            (
                '<View><Text name="t" value="$text"/><Labels name="l" toName="t"><Label value="a"/></Labels></View>',
                "<Labels>",
            ),
            (
                '<View><Image name="i" value="$image"/>'
                '<Choices name="c" toName="i"><Choice value="a"/></Choices></View>',
                "fewer than two choices",
            ),
        ],
    )
    def test_one_that_cannot_be_learned(
        self, doctor: Doctor, clinic: Settings, label_studio: LabelStudioServer, config: str, words: str
    ) -> None:
        said = doctor(clinic, label_studio.create_project("unsupported", config))
        assert "label config" in said.failed()
        assert words in said["label config"]["line"]
        assert said["order"]["line"] == "needs label config"


class TestTask:
    """A project of one task, so that the random one is known."""

    @pytest.fixture
    def ask(self, lineup: LineupServer, doctor: Doctor) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        server = lineup.label_studio
        render(server.files_dir / "digits")

        def with_tasks(tasks: list[dict[str, Any]]) -> dict[str, Any]:
            project = server.create_project("one task", LABEL_CONFIG)
            server.serve_folder(project, server.files_dir / "digits")
            if tasks:
                server.import_tasks(project, tasks)
            lineup.connect(project)
            return doctor(lineup.settings, project)["task"]

        return with_tasks

    def test_none(self, ask: Callable[..., dict[str, Any]]) -> None:
        assert ask([])["line"] == "the project has no tasks"

    def test_no_model_yet(self, ask: Callable[..., dict[str, Any]], label_studio: LabelStudioServer) -> None:
        path = render(label_studio.files_dir / "digits")[0]
        found = ask([{"data": {"image": label_studio.file_uri(path)}}])
        assert found["status"] == "warning"
        assert "no model yet" in found["line"]

    def test_images_that_cannot_be_had(
        self, ask: Callable[..., dict[str, Any]], label_studio: LabelStudioServer, site: Callable[..., Site]
    ) -> None:
        broken = render(label_studio.files_dir / "digits")[0].with_name("broken.png")
        broken.write_bytes(b"not an image")
        for uri, words in {
            label_studio.file_uri(broken): "is not an image of a kind Lineup reads",
            label_studio.file_uri(broken.with_name("missing.png")): "answered 404",
            "http://127.0.0.1:9/x.png": "ALLOW_HOSTS",
            "ftp://example.com/x.png": "cannot fetch such a URI",
        }.items():
            found = ask([{"data": {"image": uri}}])
            assert found["status"] == "failure", uri
            assert words in found["line"], uri

    def test_a_field_that_is_not_there(
        self, ask: Callable[..., dict[str, Any]], label_studio: LabelStudioServer
    ) -> None:
        found = ask([{"data": {"image": ""}}])
        assert found["status"] == "failure"
        assert "no image in the field" in found["line"]


class TestLocalFiles:
    def test_each_way_to_spoil_it(
        self, doctor: Doctor, clinic: Settings, label_studio: LabelStudioServer
    ) -> None:
        path = render(label_studio.files_dir / "digits")[0]
        project = label_studio.create_project("local files", LABEL_CONFIG)
        assert doctor(clinic, project)["local files"]["line"] == "no task names a local file"
        label_studio.import_tasks(project, [{"data": {"image": label_studio.file_uri(path)}}])
        assert "no local-files storage" in doctor(clinic, project)["local files"]["line"]
        label_studio.serve_folder(project, path.parent)
        assert doctor(clinic, project)["local files"]["status"] == "ok"
        moved = path.rename(path.with_suffix(".away"))
        try:
            found = doctor(clinic, project)["local files"]
        finally:
            moved.rename(path)
        assert found["status"] == "failure"
        assert "does not deliver" in found["line"]


class TestOrder:
    def test_each_way_to_spoil_it(
        self, doctor: Doctor, lineup: LineupServer, trained_project: DigitsProject
    ) -> None:
        server, project = trained_project.server, trained_project.id

        def order() -> dict[str, Any]:
            return doctor(lineup.settings, project)["order"]

        def put(**fields: Any) -> None:
            server.api("PATCH", f"/api/projects/{project}", fields)

        def set_priority(task_id: int, value: object) -> None:
            body = {
                "value_name": "lineup_priority",
                "value_type": "Number",
                "value": str(value),
                "selectedItems": {"all": False, "included": [task_id]},
            }
            server.api("POST", "/api/dm/actions", body, {"id": "add_data_field", "project": project})

        assert order()["status"] == "ok"
        version = trained_project.served_version()
        put(sampling="Sequential sampling")
        assert "'Sequential sampling'" in order()["line"]
        put(sampling="Uncertainty sampling")
        put(model_version="Lineup")
        assert "predictions of 'Lineup'" in order()["line"]
        put(model_version=version)
        last = trained_project.ids[-1]
        first = int(order()["line"].split()[1])
        last = last if last != first else trained_project.ids[-2]
        was = trained_project.task(last)["data"]["lineup_priority"]
        set_priority(last, 1.5)
        found = order()
        assert found["status"] == "failure"
        assert f"task {last} has the highest lineup_priority" in found["line"]
        set_priority(last, was)
        assert order()["status"] == "ok"
        assert doctor(lineup.settings, project, QUEUE="off")["order"]["status"] == "skipped"


class TestRefresh:
    def test_none_and_one_that_failed(
        self, doctor: Doctor, clinic: Settings, label_studio: LabelStudioServer
    ) -> None:
        project = label_studio.create_project("refresh", LABEL_CONFIG)
        assert doctor(clinic, project)["refresh"]["status"] == "skipped"
        folder = clinic.project_dir(project)
        write_status(
            folder, Status(state="failed", last_error=LastError("no room\non the disk", time.time()))
        )
        found = doctor(clinic, project)["refresh"]
        assert found["status"] == "failure"
        assert "no room on the disk" in found["line"]
        assert read_status(folder).last_error is not None


def test_a_prediction_that_does_not_fit(
    doctor: Doctor,
    lineup: LineupServer,
    trained_project: DigitsProject,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The config changed after the doctor read it, as when someone edits it meanwhile."""
    from backend.doctor.context import Context
    from backend.snapshot import ProjectInfo

    edited = LABEL_CONFIG.replace('name="digit"', 'name="number"')
    assert edited != LABEL_CONFIG
    before = Context.info.func  # type: ignore[attr-defined]

    def info(context: Context) -> ProjectInfo:
        found: ProjectInfo = before(context)
        object.__setattr__(found, "label_config", edited)
        return found

    monkeypatch.setattr(Context, "info", property(info))
    found = doctor(lineup.settings, trained_project.id)["task"]
    assert found["status"] == "failure"
    assert "does not fit the label config" in found["line"]
