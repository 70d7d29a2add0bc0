"""Lineup at LOG_LEVEL=DEBUG against a real Label Studio: neither tokens nor what tasks hold get into its log."""

from __future__ import annotations

import base64
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.settings import Settings
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.backend.trained import CONFIG, png

SECRETS = {
    "basic_auth_user": "lineup",
    "basic_auth_pass": "door-key-4711",
    "webhook_secret": "hush-hush-4712",
}
PAYLOAD = "patient-Erika-Mustermann"
NOTE = "diagnosis-note-4713"


def task(number: int) -> dict[str, Any]:
    image = base64.b64encode(png(20 if number % 2 else 230) + bytes([number])).decode()
    return {"data": {"image": f"data:image/png;base64,{image}", "patient": f"{PAYLOAD} {number}"}}


def annotation(number: int) -> dict[str, Any]:
    label = {"choices": ["dark" if number % 2 else "bright"]}
    result = {"from_name": "cls", "to_name": "img", "type": "choices", "value": label}
    note = {"from_name": "note", "to_name": "img", "type": "textarea", "value": {"text": [NOTE]}}
    return {"result": [result, note]}


WITH_NOTE = CONFIG.replace("</View>", '<TextArea name="note" toName="img"/></View>')


@pytest.mark.parametrize(("kind", "log_format"), [("legacy", "text"), ("personal", "json")])
def test_the_log_keeps_what_it_should_not_know(
    label_studio: LabelStudioServer, tmp_path: Path, kind: str, log_format: str
) -> None:
    with nullcontext(label_studio.token) if kind == "legacy" else label_studio.personal_token() as token:
        check_log(label_studio, tmp_path, kind, log_format, token)


def check_log(
    label_studio: LabelStudioServer, tmp_path: Path, kind: str, log_format: str, token: str
) -> None:
    """Run a project's first refreshes and an annotation, and read the whole log."""
    project = label_studio.create_project(f"secrecy {kind}", WITH_NOTE)
    tasks = [task(number) for number in range(12)]
    for number in range(6):
        tasks[number]["annotations"] = [annotation(number)]
    tasks.append({"data": {"image": "/data/upload/0/missing.png", "patient": PAYLOAD}})
    ids = label_studio.import_tasks(project, tasks)
    options: dict[str, Any] = {
        "embedder": "pixels", "log_level": "DEBUG", "log_format": log_format, "label_studio_api_key": token,
        "debounce_quiet": 0.2, "debounce_max": 1.0, **SECRETS,
    }  # fmt: skip
    with LineupServer(label_studio, tmp_path / "models", **options) as lineup:
        since = time.time()
        lineup.connect(project)
        lineup.wait(project, since=since)
        label_studio.api("POST", f"/api/tasks/{ids[7]}/annotations/", annotation(7))
        lineup.wait(project, labels=7)
        auth = (SECRETS["basic_auth_user"], SECRETS["basic_auth_pass"])
        with httpx.Client(base_url=lineup.url, auth=auth, trust_env=False) as web:
            body = {"project": project, "tasks": [{"id": ids[8], **tasks[8]}], "label_config": WITH_NOTE}
            assert web.post("/predict", json=body).json()["results"][0]["result"]
            web.post("/predict", json={"project": project, "tasks": [1], "access_token": token})
            web.post("/setup", json={"project": f"{project}.1", "schema": WITH_NOTE, "access_token": token})
            web.post("/webhook", json={"action": "X", "project": {"id": project}, "task": tasks[0]})
            web.get("/versions", auth=("lineup", "a-wrong-password-4714"))
    log = lineup.log_path.read_text(encoding="utf-8")
    assert len(log.splitlines()) > 10
    assert f"project {project}: refresh" in log
    assert "missing.png" in log, "what is wrong with an image is told"
    hidden = [token, *token.split("."), SECRETS["basic_auth_pass"], SECRETS["webhook_secret"]]
    hidden += [base64.b64encode(":".join(auth).encode()).decode(), "a-wrong-password-4714", PAYLOAD, NOTE]
    for secret in hidden:
        # the head of a personal access token is the same for everybody and tells nothing
        if len(secret) >= 12 and secret != token.split(".", maxsplit=1)[0]:
            assert secret not in log
    assert "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC" not in log
    if log_format == "json":
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        refreshed = [line for line in lines if line.get("job") and line.get("version")]
        assert {line["project"] for line in refreshed} == {project}


def test_settings_do_not_show_what_they_hide() -> None:
    settings = Settings(_env_file=None, label_studio_api_key="k" * 40, **SECRETS)
    shown = repr(settings) + str(settings) + settings.model_dump_json()
    for secret in ("k" * 40, SECRETS["basic_auth_pass"], SECRETS["webhook_secret"]):
        assert secret not in shown
