"""Lineup under Label Studio's own SDK: 1.0.9 under its real server, 2.x under a stand-in of its base class."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.jobs.hints import HintStore
from demo.label_studio import free_port
from tests.backend.trained import CONFIG, Trained
from tests.conftest import skip_unless_ci

HERE = Path(__file__).resolve().parent
PAYLOADS = HERE.parent / "contract" / "payloads"
SETUP = {"project": "7.1700000000", "schema": CONFIG, "hostname": "http://x", "access_token": "t"}
EVENT = {
    "action": "ANNOTATION_CREATED",
    "project": {"id": 7, "label_config": CONFIG},
    "annotation": {"id": 1},
}


def environment(trained: Trained, repository: Path, *more: Path) -> dict[str, str]:
    folders = os.pathsep.join(str(path) for path in (*more, repository))
    return {**os.environ, "MODEL_DIR": str(trained.settings.model_dir), "PYTHONPATH": folders}


def predict_body(trained: Trained) -> dict[str, Any]:
    tasks = [trained.task(1, "dark"), {"id": 2, "project": 7, "data": {}}, trained.task(3, "bright")]
    params = {"login": None, "password": None, "context": {"result": []}}
    return {"tasks": tasks, "project": "7.1700000000", "label_config": CONFIG, "params": params}


def labels(results: list[dict[str, Any]]) -> list[str | None]:
    return [r["result"][0]["value"]["choices"][0] if r["result"] else None for r in results]


@pytest.fixture(scope="session")
def sdk_python(repository: Path) -> Path:
    """Python of an environment with `requirements-sdk.txt`."""
    venv = repository / (os.environ.get("SDK_VENV") or ".venv-sdk")
    python = venv / "bin" / "python"
    if not python.exists():
        skip_unless_ci(f"{python} is missing; run `make setup-sdk`, or set SDK_VENV to an SDK environment")
    return python


class OldServer:
    """label-studio-ml 1.0.9 serving Lineup."""

    def __init__(self, python: Path, env: dict[str, str], folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "server.log"
        code = (
            "import os, sys; from label_studio_ml.api import init_app; from backend.sdk import Lineup;"
            "init_app(Lineup, model_dir=os.environ['MODEL_DIR']).run(port=int(sys.argv[1]))"
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(python), "-c", code, str(self.port)], env=env, stdout=log, stderr=log, cwd=folder
            )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = httpx.request(method, url, json=body, timeout=30, trust_env=False)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                self.ask("GET", "/health")
                return
            except httpx.HTTPError:
                alive = self.process.poll() is None and time.monotonic() < deadline
                assert alive, self.log.read_text()
                time.sleep(0.1)


@pytest.fixture
def old_server(sdk_python: Path, trained: Trained, repository: Path, tmp_path: Path):
    server = OldServer(sdk_python, environment(trained, repository), tmp_path)
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(10)


def eventually(trained: Trained, reason: str) -> None:
    store = HintStore(trained.settings.model_dir)
    deadline = time.monotonic() + 20
    while reason not in getattr(store.pending().get(7), "reasons", ()):
        assert time.monotonic() < deadline, f"{reason} never became a hint: {store.pending()}"
        time.sleep(0.05)
    store.close()


def test_the_1_0_9_server_speaks_the_protocol(old_server: OldServer, trained: Trained):
    version = old_server.ask("POST", "/setup", SETUP)["model_version"]
    results = old_server.ask("POST", "/predict", predict_body(trained))["results"]
    assert labels(results) == ["dark", None, "bright"]
    assert {r["model_version"] for r in results} == {str(version)}


def test_the_1_0_9_server_passes_events_on(old_server: OldServer, trained: Trained):
    before = old_server.ask("POST", "/setup", SETUP)["model_version"]
    old_server.ask("POST", "/webhook", EVENT)
    eventually(trained, "ANNOTATION_CREATED")
    for name in ("start_training", "annotation_updated"):
        (captured,) = json.loads((PAYLOADS / f"{name}.json").read_text())
        captured["body"]["project"]["id"] = 7
        old_server.ask("POST", "/webhook", captured["body"])
        eventually(trained, captured["body"]["action"])
    deadline = time.monotonic() + 20
    while (after := old_server.ask("POST", "/setup", SETUP)["model_version"]) == before:
        assert time.monotonic() < deadline, old_server.log.read_text()
        time.sleep(0.1)
    results = old_server.ask("POST", "/predict", predict_body(trained))["results"]
    assert {r["model_version"] for r in results} == {str(after)}


NEW = """
import json, sys
from label_studio_ml.model import Server
from backend.sdk import Lineup
server = Server(Lineup)
setup, predict, event = json.load(sys.stdin)
print(json.dumps([
    server.setup(setup), server.predict(predict), server.webhook(event),
    server.webhook({"action": "START_TRAINING", "project": {"id": 7}}), server.setup(setup),
]))
"""


def test_the_2_x_base_class_speaks_the_protocol(trained: Trained, repository: Path):
    done = subprocess.run(
        [sys.executable, "-c", NEW],
        input=json.dumps([SETUP, predict_body(trained), EVENT]),
        env=environment(trained, repository, HERE / "sdk2"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    setup, predicted, _, _, again = json.loads(done.stdout)
    assert setup == again == {"model_version": trained.version}
    assert labels(predicted["results"]) == ["dark", None, "bright"]
    assert {r["model_version"] for r in predicted["results"]} == {trained.version}
    reasons = HintStore(trained.settings.model_dir).pending()[7].reasons
    assert reasons == {"setup", "ANNOTATION_CREATED", "START_TRAINING"}
