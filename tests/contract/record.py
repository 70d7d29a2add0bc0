"""Record what a real Label Studio sends to an ML backend, as the payloads the contract tests replay.

Run it after an upgrade of Label Studio: ``python -m tests.contract.record``. It starts a Label Studio of its own and a
backend that writes down every request, plays a connected project's life, and replaces the files in ``payloads/``.
Tokens, passwords and times are replaced by made-up ones, so that a new recording differs only where the protocol does.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from demo.label_studio import LabelStudioServer

PAYLOADS = Path(__file__).resolve().parent / "payloads"
CONFIG = (
    '<View><Image name="img" value="$image"/>'
    '<Choices name="cls" toName="img"><Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
USER, PASSWORD = "lineup", "secret"
KEPT_HEADERS = ("authorization", "content-type", "user-agent", "x-lineup-secret")
SECRET_KEYS = {"token", "access_token", "task_data_password", "password"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def scrub(value: Any, key: str = "") -> Any:
    """Return a value with secrets, addresses and times replaced by made-up ones."""
    if isinstance(value, dict):
        return {name: scrub(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [scrub(item, key) for item in value]
    if key == "label_config_hash":  # differs from process to process
        return 0
    if not isinstance(value, str):
        return value
    if key in SECRET_KEYS:
        return "dummy"
    if key == "unique_id":
        return "00000000-0000-0000-0000-000000000000"
    if key == "project":
        return re.sub(r"\.\d+$", ".1700000000", value)
    if key == "hostname":
        return "http://localhost:8080"
    return TIME.sub("2026-01-01T00:00:00.000000Z", value)


class Recorder(ThreadingHTTPServer):
    """A backend that says yes to everything and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def _take(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        headers = {name.lower(): text for name, text in self.headers.items() if name.lower() in KEPT_HEADERS}
        self.server.seen.append(
            {"method": self.command, "path": self.path, "headers": headers, "body": scrub(body)}
        )
        answer = json.dumps(_answer(self.path, body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _take

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _answer(path: str, body: Any) -> dict[str, Any]:
    if path == "/predict":
        value = {"from_name": "cls", "to_name": "img", "type": "choices", "value": {"choices": ["cat"]}}
        return {"results": [{"result": [value], "score": 0.5, "model_version": "v1"} for _ in body["tasks"]]}
    return {"/setup": {"model_version": "v1"}, "/versions": {"versions": ["v1"]}}.get(path, {"status": "UP"})


class Session:
    """A project's life, one recording a step."""

    def __init__(self, server: LabelStudioServer, recorder: Recorder, out: Path) -> None:
        self.server = server
        self.recorder = recorder
        self.out = out
        self.project = server.create_project("Recorded", CONFIG)
        images = [{"data": {"image": f"https://images.example/{n}.png"}} for n in range(6)]
        self.tasks = server.import_tasks(self.project, images)

    @contextmanager
    def recording(self, name: str) -> Iterator[None]:
        """Write down the requests of a block; Label Studio sends them before it answers."""
        self.recorder.seen.clear()
        yield
        requests = list(self.recorder.seen)
        (self.out / f"{name}.json").write_text(json.dumps(requests, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {', '.join(_label(item) for item in requests) or 'nothing'}")

    def annotate(self, task: int, label: str | None, **more: Any) -> int:
        """Submit an annotation, a skip without a label; return its id."""
        answer = self.server.api(
            "POST", f"/api/tasks/{task}/annotations", {"result": _result(label), "lead_time": 3.2, **more}
        )
        return int(answer["id"])

    def action(self, name: str, tasks: list[int]) -> None:
        """Run an action of the Data Manager on tasks."""
        selected = {"all": False, "included": tasks}
        self.server.api(
            "POST",
            "/api/dm/actions",
            {"selectedItems": selected},
            {"id": name, "project": str(self.project)},
        )

    def hook(self, **more: Any) -> int:
        """Create a webhook to the recorder; return its id."""
        body = {"url": f"{self.recorder.url}/webhook", "project": self.project, "send_payload": True, **more}
        return int(self.server.api("POST", "/api/webhooks/", {"send_for_all_actions": True, **body})["id"])

    def patch_project(self, **fields: Any) -> None:
        """Change the project."""
        self.server.api("PATCH", f"/api/projects/{self.project}", fields)

    def play(self) -> None:
        """Go through everything a connected project can meet."""
        ml = self.connect()
        self.ask(ml)
        self.annotate_all()
        self.change_tasks()
        self.change_project()
        self.listen_twice()
        self.server.api("DELETE", f"/api/ml/{ml}")
        self.connect_with_basic_auth()
        names = sorted(self.server.api("GET", "/api/webhooks/info/"))
        (self.out / "event_names.json").write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")

    def connect(self, **more: Any) -> int:
        """Connect the backend; return its id."""
        backend = {
            "url": self.recorder.url,
            "project": self.project,
            "title": "Lineup",
            "is_interactive": True,
        }
        with self.recording("connect_with_basic_auth" if more else "connect"):
            return int(self.server.api("POST", "/api/ml", {**backend, **more})["id"])

    def connect_with_basic_auth(self) -> None:
        """Connect a backend that wants credentials."""
        self.connect(auth_method="BASIC_AUTH", basic_auth_user=USER, basic_auth_pass=PASSWORD)

    def ask(self, ml: int) -> None:
        """Have the backend asked for predictions and training."""
        api = self.server.api
        with self.recording("settings_page"):
            api("GET", "/api/ml", params={"project": str(self.project)})
        with self.recording("versions"):
            api("GET", f"/api/ml/{ml}/versions")
        with self.recording("predict_test"):
            api("POST", f"/api/ml/{ml}/predict/test", params={"random": "true"})
        with self.recording("interactive"):
            context = {"result": _result("cat"), "unheard_of": {"x": 1}}
            api("POST", f"/api/ml/{ml}/interactive-annotating", {"task": self.tasks[0], "context": context})
        with self.recording("start_training"):
            api("POST", f"/api/ml/{ml}/train", {})
        with self.recording("retrieve_predictions"):
            self.action("retrieve_tasks_predictions", self.tasks[1:4])

    def annotate_all(self) -> None:
        """Submit, skip, change and delete annotations."""
        api = self.server.api
        with self.recording("annotation_created"):
            annotation = self.annotate(self.tasks[0], "dog")
        with self.recording("annotation_skipped"):
            self.annotate(self.tasks[1], None, was_cancelled=True)
        with self.recording("annotation_updated"):
            api("PATCH", f"/api/annotations/{annotation}", {"result": _result("cat")})
        with self.recording("ground_truth"):
            api("PATCH", f"/api/annotations/{annotation}", {"ground_truth": True})
        with self.recording("draft"):
            api("POST", f"/api/tasks/{self.tasks[2]}/drafts", {"result": _result("cat"), "lead_time": 1.0})
        with self.recording("annotation_deleted"):
            api("DELETE", f"/api/annotations/{annotation}")
        with self.recording("dm_annotations_created"):
            self.action("predictions_to_annotations", self.tasks[1:3])
        with self.recording("dm_annotations_deleted"):
            self.action("delete_tasks_annotations", self.tasks[1:3])

    def change_tasks(self) -> None:
        """Import and delete tasks."""
        data = {"image": "https://images.example/new.png"}
        labelled = [{"completed_by": self.server.admin.id, "result": _result("cat")}]
        with self.recording("tasks_imported"):
            new = self.server.import_tasks(
                self.project, [{"data": data}, {"data": data, "annotations": labelled}]
            )
        with self.recording("tasks_deleted"):
            self.action("delete_tasks", new)

    def change_project(self) -> None:
        """Change the project's settings and its label config."""
        with self.recording("project_updated"):
            self.patch_project(description="changed")
        with self.recording("label_config_updated"):
            self.patch_project(label_config=CONFIG.replace("</Choices>", '<Choice value="owl"/></Choices>'))
        with self.recording("auto_training"):
            self.patch_project(start_training_on_annotation_update=True)
            self.annotate(self.tasks[3], "cat")
            self.patch_project(start_training_on_annotation_update=False)

    def listen_twice(self) -> None:
        """Submit while a second webhook listens: one with a secret, then one without a payload."""
        for name, task, more in (
            ("two_hooks", self.tasks[4], {"headers": {"X-Lineup-Secret": "dummy"}}),
            ("without_payload", self.tasks[5], {"send_payload": False}),
        ):
            hook = self.hook(**more)
            with self.recording(name):
                self.annotate(task, "dog")
            self.server.api("DELETE", f"/api/webhooks/{hook}/")


def _result(label: str | None) -> list[dict[str, Any]]:
    if label is None:
        return []
    return [{"from_name": "cls", "to_name": "img", "type": "choices", "value": {"choices": [label]}}]


def _label(request: dict[str, Any]) -> str:
    action = request["body"].get("action") if isinstance(request["body"], dict) else None
    return f"{request['path']} {action}" if action else str(request["path"])


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAYLOADS, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, LabelStudioServer(Path(folder) / "data") as server:
        recorder = Recorder()
        try:
            Session(server, recorder, out).play()
        finally:
            recorder.shutdown()
            recorder.server_close()


if __name__ == "__main__":
    main()
