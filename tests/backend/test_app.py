"""The HTTP face."""

from __future__ import annotations

import base64
import hmac
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from backend.app import create_app
from tests.backend.served import serving
from tests.backend.trained import CONFIG, HintList, Trained, make_project, make_settings

SETUP = {"project": "7.1795212351", "schema": CONFIG, "hostname": "http://x", "access_token": "t"}


def client(settings, hints: HintList) -> TestClient:
    return TestClient(create_app(settings, hints), raise_server_exceptions=False)


@pytest.fixture
def web(trained: Trained, hints: HintList) -> TestClient:
    return client(trained.settings, hints)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_nothing_heavy_is_loaded_by_the_server():
    heavy = [
        "torch",
        "torchvision",
        "timm",
        "cleanlab",
        "sklearn",
        "scipy",
        "pandas",
        "faiss",
        "label_studio_sdk",
    ]
    code = f"import sys, backend.app, backend.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_health_tells_what_is_served(web: TestClient, trained: Trained):
    for path in ("/", "/health"):
        health = web.get(path).json()
        assert health["status"] == "UP"
        assert health["model_class"] == "Lineup"
        assert health["worker"] == {"alive": True, "restarts": 0}
        assert health["projects"]["7"]["model_version"] == trained.version
        assert health["projects"]["7"]["embedder"] == "pixels"
        assert health["projects"]["7"]["note"] == "pixels is a fallback"


def test_health_before_anything(settings, hints: HintList):
    assert client(settings, hints).get("/health").json()["projects"] == {}


@pytest.mark.parametrize("project", [7, "7", "7.1795212351"])
def test_setup_names_the_served_version_for_every_spelling(web: TestClient, trained: Trained, project: Any):
    assert web.post("/setup", json={**SETUP, "project": project}).json() == {"model_version": trained.version}


def test_setup_before_a_model_says_untrained_and_adopts(settings, hints: HintList):
    answer = client(settings, hints).post("/setup", json=SETUP)
    assert answer.json() == {"model_version": "untrained"}
    assert hints.asked == [(7, "setup")]


def test_setup_of_an_unchanged_project_asks_for_nothing(web: TestClient, hints: HintList):
    for _ in range(3):
        web.post("/setup", json=SETUP)
    assert hints.asked == [(7, "setup")]
    web.post("/setup", json={**SETUP, "schema": CONFIG.replace("dark", "dim")})
    assert hints.asked == [(7, "setup")] * 2
    web.post("/setup", json={**SETUP, "project": "7.1800000000"})
    assert hints.asked == [(7, "setup")] * 3


def test_predict_and_setup_say_the_same_version(web: TestClient, trained: Trained):
    tasks = [trained.task(1, "dark"), {"id": 2, "data": {}}, trained.task(3, "bright")]
    body = {
        "tasks": tasks,
        "project": "7.1",
        "label_config": CONFIG,
        "params": {"login": None, "context": None},
    }
    results = web.post("/predict", json=body).json()["results"]
    assert [bool(r["result"]) for r in results] == [True, False, True]
    assert {r["model_version"] for r in results} == {web.post("/setup", json=SETUP).json()["model_version"]}


def test_interactive_context_and_unknown_fields_are_accepted(web: TestClient, trained: Trained):
    body = {
        "tasks": [{**trained.task(1), "drafts": [], "brand_new": 1}],
        "project": "7.1",
        "params": {"context": {"result": [{"x": 1}]}, "more": []},
        "unheard_of": {"a": [1]},
    }
    assert web.post("/predict", json=body).json()["results"][0]["result"]


def test_the_project_of_the_first_task_will_do(web: TestClient, trained: Trained):
    body = {"tasks": [trained.task(1)], "label_config": CONFIG}
    assert web.post("/predict", json=body).json()["results"][0]["result"]
    assert web.post("/predict", json={"tasks": []}).json() == {"results": []}


def test_five_thousand_tasks(web: TestClient, trained: Trained):
    tasks = [trained.task(n, "dark" if n % 2 else "bright") for n in range(5000)]
    results = web.post("/predict", json={"tasks": tasks, "project": "7", "label_config": CONFIG}).json()[
        "results"
    ]
    assert [r["result"][0]["value"]["choices"][0] for r in results[:4]] == [
        "bright",
        "dark",
        "bright",
        "dark",
    ]
    assert len(results) == 5000


def test_versions(web: TestClient, trained: Trained):
    newer = trained.publish_another()
    assert web.get("/versions").json()["versions"] == [trained.version, newer]
    assert web.get("/versions?project=7.123").json()["versions"] == [trained.version, newer]
    assert web.get("/versions?project=8").json()["versions"] == []
    assert web.get("/versions?project=x").status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/setup", {}, "project"),
        ("/setup", {"project": "x"}, "project"),
        ("/setup", {"project": "7", "schema": 3}, "schema"),
        ("/predict", {"project": "7"}, "tasks"),
        ("/predict", {"project": "7", "tasks": [{}, 3]}, "tasks.1"),
        ("/predict", {"project": "7", "tasks": {}}, "tasks"),
        ("/predict", {"tasks": [{"id": 1}]}, "project"),
        ("/predict", {"project": -1, "tasks": []}, "project"),
        ("/predict", {"project": "7", "tasks": [], "params": []}, "params"),
        ("/webhook", {"project": {"id": 7}}, "action"),
        ("/webhook", {"action": "X", "project": {"id": "seven"}}, "project"),
        ("/webhook", {"action": "X", "project": {"id": 2**70}}, "project"),
    ],
)
def test_a_malformed_body_names_its_field(web: TestClient, path: str, body: Any, field: str):
    answer = web.post(path, json=body)
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["detail"]] == [field]


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'"\\ud800"', b"[" * 100_000])
def test_what_is_not_an_object_is_refused(web: TestClient, raw: bytes):
    for path in ("/setup", "/predict", "/webhook"):
        answer = web.post(path, content=raw)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["field"]


def test_an_event_becomes_a_hint_and_nothing_else(web: TestClient, hints: HintList):
    answer = web.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": 7, "token": "t"}})
    assert answer.status_code == 200
    assert hints.asked == [(7, "ANNOTATION_CREATED")]


def test_an_event_without_a_project_concerns_all(settings, hints: HintList):
    for project_id in (3, 7):
        make_project(settings, project_id)
    client(settings, hints).post("/webhook", json={"action": "ANNOTATION_CREATED"})
    assert hints.asked == [(3, "ANNOTATION_CREATED"), (7, "ANNOTATION_CREATED")]


def test_unknown_events_are_acknowledged_and_counted(web: TestClient, hints: HintList):
    for name in ("REVIEW_CREATED", "", "x" * 10_000):
        assert web.post("/webhook", json={"action": name, "project": {"id": 7}}).status_code == 200
    web.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 7}})
    metrics = web.get("/metrics").text
    assert 'lineup_events_total{event="unknown"} 3.0' in metrics
    assert 'lineup_events_total{event="START_TRAINING"} 1.0' in metrics
    assert set(hints.asked) == {(7, "unknown"), (7, "START_TRAINING")}


def test_metrics_count_predictions_and_refusals(web: TestClient, trained: Trained):
    web.post("/predict", json={"tasks": [trained.task(1), {}], "project": "7", "label_config": CONFIG})
    web.post("/setup", json={})
    metrics = web.get("/metrics").text
    assert 'lineup_predictions_total{outcome="predicted"} 1.0' in metrics
    assert 'lineup_predictions_total{outcome="empty"} 1.0' in metrics
    assert 'lineup_malformed_total{path="/setup"} 1.0' in metrics
    assert "lineup_worker_alive 1.0" in metrics
    assert 'lineup_refresh_failed{project="7"} 0.0' in metrics


def test_a_folder_that_cannot_be_written_is_told_as_such(trained: Trained, hints: HintList, monkeypatch):
    def full(project_id: int, reason: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hints, "request", full)
    answer = client(trained.settings, hints).post("/webhook", json={"action": "X", "project": {"id": 7}})
    assert answer.status_code == 503
    assert "MODEL_DIR" in answer.json()["detail"]


def test_predictions_that_take_long_hold_up_nothing_else(
    trained: Trained, hints: HintList, monkeypatch: pytest.MonkeyPatch
):
    app, release = create_app(trained.settings, hints), threading.Event()
    monkeypatch.setattr(app.state.service.predictor, "predict", lambda *_: release.wait(60) and [])
    event = {"action": "ANNOTATION_CREATED", "project": {"id": 7}}

    def predict(number: int) -> int:
        return httpx.post(f"{url}/predict", json={"tasks": []}, timeout=60, trust_env=False).status_code

    with serving(app) as port, ThreadPoolExecutor(60) as people:
        url = f"http://127.0.0.1:{port}"
        waiting = [people.submit(predict, number) for number in range(60)]
        try:
            for _ in range(20):
                assert httpx.post(f"{url}/webhook", json=event, timeout=5, trust_env=False).status_code == 200
            assert httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200
            assert not any(one.done() for one in waiting)
        finally:
            release.set()
        assert {one.result() for one in waiting} == {200}


def test_the_queue_lives_as_long_as_the_application(settings, hints: HintList):
    hints.alive = False
    with TestClient(create_app(settings, hints)) as web:
        assert web.get("/health").json()["worker"]["alive"]
    assert not hints.alive


def test_the_whole_face_with_a_real_worker(tmp_path: Path):
    with TestClient(create_app(make_settings(tmp_path))) as web:
        assert web.get("/health").json()["worker"]["alive"]
        assert web.post("/setup", json=SETUP).json() == {"model_version": "untrained"}
        assert "lineup_waiting_projects 1.0" in web.get("/metrics").text


PATHS = [("GET", "/"), ("POST", "/setup"), ("POST", "/predict"), ("POST", "/webhook"), ("GET", "/versions")]


class TestAuth:
    """Credentials."""

    @pytest.fixture
    def locked(self, tmp_path: Path, hints: HintList) -> TestClient:
        settings = make_settings(
            tmp_path, basic_auth_user="lineup", basic_auth_pass="pässword", webhook_secret="hush"
        )
        return client(settings, hints)

    @pytest.mark.parametrize(("method", "path"), [*PATHS, ("GET", "/metrics"), ("GET", "/nothing")])
    def test_all_but_health_wants_credentials(self, locked: TestClient, method: str, path: str):
        assert locked.request(method, path).status_code == 401
        assert locked.request(method, path, headers=basic("lineup", "wrong")).status_code == 401
        assert locked.request(method, path, headers=basic("someone", "pässword")).status_code == 401
        assert locked.request(method, path, headers=basic("lineup", "pässword")).status_code in (
            200,
            404,
            422,
        )

    @pytest.mark.parametrize(
        "given", [("someone", "wrong"), ("lineup", "wrong"), ("someone", "pässword"), ("", "")]
    )
    def test_every_guess_is_compared_in_full_and_takes_the_same_steps(
        self, locked: TestClient, given: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ):
        compared: list[tuple[bytes, bytes]] = []

        def compare(a: bytes, b: bytes) -> bool:
            compared.append((a, b))
            return real(a, b)

        real = hmac.compare_digest
        monkeypatch.setattr("backend.auth.hmac.compare_digest", compare)
        assert locked.get("/metrics", headers=basic(*given)).status_code == 401
        assert sorted(expected for _, expected in compared) == sorted([b"lineup", "pässword".encode()])

    def test_health_is_open(self, locked: TestClient):
        assert locked.get("/health").status_code == 200

    @pytest.mark.parametrize("value", ["Basic", "Basic !!", "Basic /w==", "Bearer x", "", "Basic bGluZXVw"])
    def test_nonsense_is_refused(self, locked: TestClient, value: str):
        assert locked.get("/", headers={"Authorization": value}).status_code == 401

    def test_the_webhook_takes_its_secret_instead(self, locked: TestClient, hints: HintList, tmp_path: Path):
        make_project(make_settings(tmp_path), 7)
        event = {"action": "ANNOTATION_CREATED", "project": {"id": 7}}
        assert locked.post("/webhook", json=event, headers={"X-Lineup-Secret": "hush"}).status_code == 200
        assert locked.post("/webhook", json=event, headers={"X-Lineup-Secret": "no"}).status_code == 401
        assert len(hints.asked) == 1

    def test_the_secret_opens_nothing_else(self, locked: TestClient):
        assert locked.post("/setup", json=SETUP, headers={"X-Lineup-Secret": "hush"}).status_code == 401

    def test_a_secret_alone_guards_events(self, tmp_path: Path, hints: HintList):
        web = client(make_settings(tmp_path, webhook_secret="hush"), hints)
        event = {"action": "ANNOTATION_CREATED", "project": {"id": 7}}
        assert web.post("/webhook", json=event).status_code == 401
        assert web.post("/webhook", json=event, headers={"X-Lineup-Secret": "hush"}).status_code == 200
        assert web.post("/webhook", json={**event, "action": "START_TRAINING"}).status_code == 200
        assert web.post("/setup", json=SETUP).status_code == 200
