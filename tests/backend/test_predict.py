"""Predictions from a published head."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from backend import predict
from backend.predict import Predictor, live_score
from backend.registry import Version
from backend.snapshot import Content
from tests.backend.trained import CONFIG, HintList, Trained, make_settings, png


@pytest.fixture
def predictor(trained: Trained, hints: HintList):
    predictor = Predictor(trained.settings, hints.request)
    yield predictor
    predictor.close()


def test_known_images_get_their_class_with_its_confidence(predictor: Predictor, trained: Trained):
    results = predictor.predict(7, [trained.task(1, "dark"), trained.task(2, "bright")], CONFIG)
    assert [r["result"][0]["value"]["choices"] for r in results] == [["dark"], ["bright"]]
    assert {r["model_version"] for r in results} == {trained.version} == {predictor.version(7)}
    assert all(0.5 < r["result"][0]["score"] <= 1 for r in results)


def test_an_order_of_five_thousand_is_kept(predictor: Predictor, trained: Trained):
    colours = ["dark" if n % 3 else "bright" for n in range(5000)]
    results = predictor.predict(7, [trained.task(n, c) for n, c in enumerate(colours)], CONFIG)
    assert [r["result"][0]["value"]["choices"][0] for r in results] == colours


def test_what_cannot_be_predicted_costs_only_its_task(predictor: Predictor, trained: Trained, caplog):
    trained.store.put_contents({"/broken.png": Content(None, "not an image", 0.0)})
    tasks = [
        trained.task(1),
        {"id": 2, "data": {"image": "/broken.png"}},
        {"id": 3, "data": {"text": "no image"}},
        {"id": 4, "data": "poisoned"},
        {"id": 5},
        {"id": None, "data": {"image": 5}},
        trained.task(7, "bright"),
    ]
    results = predictor.predict(7, tasks, CONFIG)
    assert [bool(r["result"]) for r in results] == [True, *[False] * 5, True]
    assert [r["score"] for r in results[1:6]] == [0.0] * 5
    assert {r["model_version"] for r in results} == {trained.version}
    assert "task 2: no prediction: not an image" in caplog.text
    assert "task 3: no prediction: the task has no image" in caplog.text


@pytest.mark.parametrize(
    ("bound", "most", "why"), [("ANSWER_SECONDS", -1.0, "all the time"), ("MOST_BYTES", 1, "fill the answer")]
)
def test_an_answer_ends_in_time_and_is_not_too_large(
    predictor: Predictor,
    trained: Trained,
    hints: HintList,
    caplog,
    monkeypatch,
    bound: str,
    most: float,
    why: str,
):
    monkeypatch.setattr(predict, bound, most)
    results = predictor.predict(7, [trained.task(number, "dark") for number in range(3)], CONFIG)
    assert [bool(r["result"]) for r in results] == [True, False, False]
    assert [r["score"] for r in results[1:]] == [0.0] * 2
    assert "task 2: no prediction: the tasks before it" in caplog.text
    assert why in caplog.text
    assert hints.asked == [(7, "predict")]


def test_before_any_model_everything_is_empty_and_untrained(settings, hints: HintList):
    results = Predictor(settings, hints.request).predict(3, [{"id": 1, "data": {"image": "/a"}}] * 2, CONFIG)
    assert results == [{"result": [], "score": 0.0, "model_version": "untrained"}] * 2
    assert not settings.project_dir(3).exists()


def test_a_new_version_is_served_at_once(predictor: Predictor, trained: Trained):
    predictor.predict(7, [trained.task(1)], CONFIG)
    newer = trained.publish_another()
    assert predictor.predict(7, [trained.task(1)], CONFIG)[0]["model_version"] == newer
    trained.registry.publish(trained.version)
    assert predictor.predict(7, [trained.task(1)], CONFIG)[0]["model_version"] == trained.version


def test_another_label_config_is_not_answered_with_the_old_classes(
    predictor: Predictor, trained: Trained, hints: HintList
):
    changed = CONFIG.replace("bright", "light")
    assert predictor.predict(7, [trained.task(1)], changed)[0]["result"] == []
    assert hints.asked == [(7, "predict")]


def test_names_of_the_controls_follow_the_request(predictor: Predictor, trained: Trained):
    renamed = CONFIG.replace('"cls"', '"kind"')
    assert predictor.predict(7, [trained.task(1)], renamed)[0]["result"][0]["from_name"] == "kind"


def test_several_classes_or_none_from_a_multi_label_version(
    predictor: Predictor, trained: Trained, hints: HintList
):
    loaded = trained.registry.load(trained.version)
    version = trained.registry.next_id("multilabel", "c" * 64)
    arrays = {**loaded.arrays, "b": loaded.arrays["b"] + np.float32([0.0, 4.0])}  # now "bright" always holds
    manifest = {**loaded.manifest, "version": version, "kind": "multilabel"}
    trained.registry.save(Version(version, manifest, arrays))
    trained.registry.publish(version)
    many = CONFIG.replace("<Choices ", '<Choices choice="multiple" ')
    results = predictor.predict(7, [trained.task(1, "dark"), trained.task(2, "bright")], many)
    assert [r["result"][0]["value"]["choices"] for r in results] == [["dark", "bright"], ["bright"]]
    assert all(0.5 <= r["result"][0]["score"] <= 1 for r in results)
    one_of = predictor.predict(7, [trained.task(1)], CONFIG)
    assert one_of[0]["result"] == [], "several classes are no answer to a single choice"
    assert hints.asked == [(7, "predict")]


def test_none_of_the_classes_is_an_empty_result_with_a_score(predictor: Predictor, trained: Trained):
    loaded = trained.registry.load(trained.version)
    version = trained.registry.next_id("multilabel", "c" * 64)
    arrays = {**loaded.arrays, "b": loaded.arrays["b"] - 9}
    trained.registry.save(Version(version, {**loaded.manifest, "kind": "multilabel"}, arrays))
    trained.registry.publish(version)
    many = CONFIG.replace("<Choices ", '<Choices choice="multiple" ')
    [result] = predictor.predict(7, [trained.task(1)], many)
    assert result["result"] == []
    assert result["score"] > 0.5


def test_without_a_label_config_the_project_s_is_used(predictor: Predictor, trained: Trained):
    assert predictor.predict(7, [trained.task(1)], None)[0]["result"]


@pytest.mark.parametrize("config", ["", "<View/>", "not xml", "<View>\x00</View>"])
def test_an_unusable_config_gives_empty_results(predictor: Predictor, trained: Trained, config: str):
    if not config:
        trained.store.set_meta("project", None)
    assert predictor.predict(7, [trained.task(1)], config)[0]["result"] == []


def test_a_damaged_version_gives_empty_results(predictor: Predictor, trained: Trained):
    (trained.registry.root / trained.version / "head.safetensors").write_bytes(b"damaged")
    results = predictor.predict(7, [trained.task(1)], CONFIG)
    assert results == [{"result": [], "score": 0.0, "model_version": trained.version}]


def test_the_live_score_follows_the_priority_where_there_is_one():
    assert live_score({"lineup_priority": 0.9999}, 0.3, "lineup_") == 0.0001
    assert live_score({"lineup_priority": 0.0}, 0.3, "lineup_") == 1.0
    for unusable in ("0.5", None, True, -1, 7):
        assert live_score({"lineup_priority": unusable}, 0.3, "lineup_") == 0.3
    assert live_score({}, 0.8, "lineup_") == 0.8


class _Images(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"not an image" if "broken" in self.path else png(235 if "bright" in self.path else 15)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_new_images_are_embedded_in_a_process_of_their_own(trained: Trained, hints: HintList, tmp_path):
    server = HTTPServer(("127.0.0.1", 0), _Images)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = make_settings(tmp_path, allow_hosts=("127.0.0.1",))
    predictor = Predictor(settings, hints.request)
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        tasks = [{"id": n, "data": {"image": f"{base}/{n}.png"}} for n in ("bright", "dark", "broken")]
        tasks = [{**task, "id": n} for n, task in enumerate(tasks)]
        results = predictor.predict(7, [*tasks, trained.task(9)], CONFIG)
    finally:
        predictor.close()
        server.shutdown()
        server.server_close()
    assert [r["result"] and r["result"][0]["value"]["choices"][0] for r in results] == [
        "bright",
        "dark",
        [],
        "dark",
    ]


def test_vectors_of_another_embedder_are_not_mixed_in(trained: Trained, hints: HintList):
    predictor = Predictor(trained.settings, hints.request)
    try:
        outcome = predictor.newcomers.embed(7, [(1, "/new.png")], "another-embedder", time.monotonic() + 60)
    finally:
        predictor.close()
    assert "the served version knows another-embedder" in str(outcome["/new.png"])
