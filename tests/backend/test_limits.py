"""What is not let in, and that nothing is lost by it."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from backend import limits
from backend import rates as rates_module
from backend.app import create_app
from backend.jobs.base import QueueUnavailable
from backend.rates import WRONG_PASSWORD, Rates
from tests.backend.served import serving
from tests.backend.trained import HintList, make_project, make_settings

EVENT = {"action": "ANNOTATION_CREATED", "project": {"id": 7}}
LEAST = 10_000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_client_may_send_so_many_a_second_and_twice_that_at_once() -> None:
    clock = Clock()
    rates = Rates(10, clock)
    assert sum(rates.allow("192.0.2.1") for _ in range(100)) == 20
    assert rates.allow("192.0.2.2")
    clock.now = 1.0
    assert sum(rates.allow("192.0.2.1") for _ in range(100)) == 10


def test_no_limit_is_no_limit() -> None:
    rates = Rates(0, Clock())
    assert all(rates.allow("192.0.2.1") for _ in range(10_000))
    assert all(rates.charge("192.0.2.1", WRONG_PASSWORD) for _ in range(10_000))


def test_after_wrong_passwords_a_right_one_is_refused_like_them() -> None:
    clock = Clock()
    rates = Rates(100, clock)
    tried = 0
    while rates.charge("192.0.2.1", WRONG_PASSWORD):
        tried += 1
    assert tried == 4
    assert not rates.allow("192.0.2.1")
    clock.now = 10.0
    assert rates.allow("192.0.2.1")


def test_neighbours_in_an_ipv6_network_are_one_client_and_clients_are_forgotten() -> None:
    rates = Rates(10, Clock())
    assert sum(rates.allow(f"2001:db8::{number:x}") for number in range(100)) == 20
    for number in range(10_000):
        rates.allow(f"10.0.{number // 256}.{number % 256}")
    assert len(rates._buckets) <= rates_module._CLIENTS


Web = Callable[..., TestClient]


@pytest.fixture
def web(tmp_path: Path, hints: HintList, monkeypatch: pytest.MonkeyPatch) -> Web:
    monkeypatch.setattr(limits, "MISSED_EVERY", 0.05)

    def make(**settings: Any) -> TestClient:
        values = make_settings(tmp_path, max_request_bytes=LEAST, **settings)
        for project_id in (3, 7):
            make_project(values, project_id)
        return TestClient(create_app(values, hints))

    return make


def test_a_low_rate_lets_one_request_through_now_and_then() -> None:
    clock = Clock()
    rates = Rates(0.1, clock)
    assert [rates.allow("a") for _ in range(2)] == [True, False]
    clock.now = 10.1
    assert rates.allow("a")


def wait_for(hints: HintList, asked: list[tuple[int, str]]) -> None:
    deadline = time.monotonic() + 5
    while hints.asked != asked and time.monotonic() < deadline:
        time.sleep(0.02)
    assert hints.asked == asked


LOOKS = [(3, "overflow"), (7, "overflow")]


def test_an_event_too_large_to_read_becomes_a_look_at_every_project(web: Web, hints: HintList) -> None:
    with web() as client:
        for _ in range(3):
            answer = client.post("/webhook", json={**EVENT, "annotation": "x" * LEAST})
            assert answer.status_code == 413
            assert "MAX_REQUEST_BYTES" in answer.json()["detail"]
            assert "looks at every project" in answer.json()["detail"]
        wait_for(hints, LOOKS)
        assert client.post("/webhook", json=EVENT).status_code == 200
        assert 'lineup_rejected_total{reason="size"} 3.0' in client.get("/metrics").text


def test_too_many_events_become_a_look_at_every_project_after_the_last(web: Web, hints: HintList) -> None:
    with web(rate_limit=5) as client:
        answers = [client.post("/webhook", json=EVENT) for _ in range(40)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 20
        assert refused[0].headers["Retry-After"] == "1"
        time.sleep(0.3)
        assert hints.asked[-2:] == LOOKS or hints.asked[-1] == LOOKS[1]
        assert (hints.asked[0][1], hints.asked[-1][1]) == ("ANNOTATION_CREATED", "overflow")


def test_guessing_the_webhook_s_secret_is_slow(web: Web) -> None:
    with web(webhook_secret="hush", rate_limit=100) as client:
        answers = [
            client.post("/webhook", json=EVENT, headers={"X-Lineup-Secret": str(n)}) for n in range(20)
        ]
        assert {answer.status_code for answer in answers[:3]} == {401}
        assert answers[-1].status_code == 429


def test_redis_away_while_events_are_refused_is_told(
    web: Web, hints: HintList, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(project_id: int, reason: str) -> None:
        raise QueueUnavailable("Redis cannot be used: it is away")

    monkeypatch.setattr(hints, "request", away)
    with web() as client:
        assert client.post("/webhook", json={**EVENT, "annotation": "x" * LEAST}).status_code == 413
        deadline = time.monotonic() + 5
        while "it is away" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "no look at the projects could be asked for: Redis cannot be used" in caplog.text
        answer = client.post("/webhook", json=EVENT)
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("Redis cannot be used: it is away. The next look")


def test_a_stranger_makes_nobody_look(web: Web, hints: HintList) -> None:
    large = {**EVENT, "annotation": "x" * LEAST}
    with web(webhook_secret="hush") as client:
        answer = client.post("/webhook", json=large)
        assert answer.status_code == 413
        assert "looks at" not in answer.json()["detail"]
        time.sleep(0.2)
        assert hints.asked == []
        client.post("/webhook", json=large, headers={"X-Lineup-Secret": "hush"})
        wait_for(hints, LOOKS)


def test_guessing_a_password_soon_meets_a_limit_that_a_right_one_does_not_pass(web: Web) -> None:
    with web(basic_auth_user="u", basic_auth_pass="right", rate_limit=100) as client:
        answers = [client.get("/metrics", auth=("u", f"wrong {n}")).status_code for n in range(20)]
        assert answers[0] == 401
        assert answers[-1] == 429
        assert client.get("/metrics", auth=("u", "right")).status_code == 429


def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_VALUES", 1000)
    monkeypatch.setattr(limits, "SMALL", 1000)
    with web() as client:
        tasks = b",".join([b"{}"] * 1000)
        answer = client.post("/predict", content=b'{"project":7,"tasks":[' + tasks + b"]}")
        assert answer.status_code == 413
        assert "fewer tasks" in answer.json()["detail"]


def test_many_values_count_for_more_than_their_bytes(tmp_path: Path, hints: HintList) -> None:
    settings = make_settings(tmp_path, max_request_bytes=1_000_000)
    middleware = limits.LimitsMiddleware(_slow, settings, Rates(0), lambda _: None, lambda: None)
    dense = b"[" + b"{}," * 24_000 + b"{}]"  # 72 kB that take 5 MB

    async def both() -> list[int]:
        first = asyncio.create_task(_status(middleware, dense))
        await asyncio.sleep(0.1)
        return [await _status(middleware, dense), await _status(middleware, b"{}"), await first]

    assert asyncio.run(both()) == [503, 200, 200]
    assert asyncio.run(_status(middleware, dense)) == 200


async def _slow(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.5)
    await JSONResponse({})(scope, receive, send)


async def _status(app: Any, body: bytes) -> int:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/predict", "headers": []}, receive, send)
    return int(sent[0]["status"])


def test_a_million_faults_are_told_once(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    with web() as client:
        answer = client.post("/predict", content=b'{"project":7,"tasks":[' + b"1," * 4000 + b"1]}")
        assert answer.status_code == 422
        assert len(answer.content) < 1000
        assert len(caplog.text) < 5000


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: lineup", *lines, "", ""]).encode()


def answer_of(connection: socket.socket) -> str:
    connection.settimeout(10)
    received = b""
    try:
        while part := connection.recv(4096):
            received += part
    except OSError:  # reset, because what we sent was not read
        pass
    return received.decode()


class TestServed:
    """Over a real connection."""

    def test_a_declared_size_is_refused_unread(self, tmp_path: Path, hints: HintList) -> None:
        with (
            serving(create_app(make_settings(tmp_path), hints)) as port,
            socket.create_connection(("127.0.0.1", port)) as connection,
        ):
            connection.sendall(head("/predict", "Content-Length: 99999999999"))
            assert " 413 " in answer_of(connection).splitlines()[0]

    def test_a_body_without_end_takes_no_memory(self, tmp_path: Path, hints: HintList) -> None:
        settings = make_settings(tmp_path, max_request_bytes=1_000_000)
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        answers: list[str] = []

        def flood(port: int) -> None:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(head("/predict", "Transfer-Encoding: chunked"))
                try:
                    for _ in range(1000):
                        connection.sendall(piece)
                except OSError:
                    pass
                answers.append(answer_of(connection))

        with serving(create_app(settings, hints)) as port:
            gc.collect()
            tracemalloc.start()
            threads = [threading.Thread(target=flood, args=(port,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert most < 16_000_000  # of 524 million bytes that wanted in
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: lineup\r\nConnection: close\r\n\r\n")
                assert " 200 " in answer_of(connection).splitlines()[0]
        assert all(not answer or " 413 " in answer or " 503 " in answer for answer in answers)

    def test_all_bodies_together_have_a_limit(self, tmp_path: Path, hints: HintList) -> None:
        settings = make_settings(tmp_path, max_request_bytes=200_000)
        with serving(create_app(settings, hints)) as port:
            waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
            try:
                for connection in waiting:
                    connection.sendall(head("/predict", "Content-Length: 190001") + b"x" * 190_000)
                time.sleep(0.5)
                last = socket.create_connection(("127.0.0.1", port))
                last.sendall(head("/predict", "Content-Length: 190001") + b"x" * 190_001)
                assert " 503 " in answer_of(last).splitlines()[0]
                last.close()
                # small ones are let in all the same
                small = socket.create_connection(("127.0.0.1", port))
                body = json.dumps(EVENT).encode()
                small.sendall(head("/webhook", f"Content-Length: {len(body)}", "Connection: close") + body)
                assert " 200 " in answer_of(small).splitlines()[0]
                small.close()
            finally:
                for connection in waiting:
                    connection.close()
            time.sleep(0.5)
            # and what they held is given back
            again = socket.create_connection(("127.0.0.1", port))
            again.sendall(head("/predict", "Content-Length: 190001", "Connection: close") + b"x" * 190_001)
            assert " 422 " in answer_of(again).splitlines()[0]
            again.close()

    def test_a_body_that_never_ends_coming_is_given_up(
        self, tmp_path: Path, hints: HintList, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BODY_SECONDS", 0.5)
        with (
            serving(create_app(make_settings(tmp_path), hints)) as port,
            socket.create_connection(("127.0.0.1", port)) as connection,
        ):
            connection.sendall(head("/webhook", "Content-Length: 100") + b"{")
            assert " 408 " in answer_of(connection).splitlines()[0]

    def test_headers_without_end_are_refused(self, tmp_path: Path, hints: HintList) -> None:
        with (
            serving(create_app(make_settings(tmp_path), hints)) as port,
            socket.create_connection(("127.0.0.1", port)) as connection,
        ):
            sent = 0
            try:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: lineup\r\n")
                for number in range(100_000):
                    connection.sendall(b"X-%d: " % number + b"y" * 1000 + b"\r\n")
                    sent += 1000
            except OSError:
                pass
            assert sent < 20_000_000
            assert " 200 " not in answer_of(connection)
