"""What goes through Redis for a shard is taken only from who may say it, and only as it should be."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.embedding.stage import MAX_URI
from backend.jobs.distributed import shard_worker
from backend.jobs.distributed.board import Board, answers_key, run_key
from backend.jobs.distributed.jobs import EMBED, SERIALIZER, LineupJob, provide, queue
from backend.jobs.distributed.lease import Lease, project_lease
from backend.jobs.distributed.link import link
from backend.jobs.distributed.rq_worker import InProcessWorker
from backend.jobs.distributed.seal import Forged, Seal
from backend.jobs.distributed.shard_worker import ShardWorker
from backend.jobs.distributed.shards import SHARD_SIZE, Answer, Found, Malformed, Shard
from backend.settings import Settings
from tests.backend.embedding.shared import Parts, make_parts
from tests.backend.trained import make_settings
from tests.redis_server import RedisServer

RUN = "ab" * 16
KEY = "0f" * 16
SHARD = Shard(RUN, 3, 7, "pixels-1", ((1, "/data/upload/7/a.png"), (2, "s3://bucket/b.png")))
ANSWER = Answer(
    RUN, 3, "one", (Found(0, KEY, None, bytes(28)), Found(1, None, "404", None)), "", {"e": {"1": 2.0}}
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_worker, "REST", 0.0)


@pytest.fixture
def settings(tmp_path: Path, redis_server: RedisServer) -> Settings:
    return make_settings(tmp_path, redis_url=redis_server.url)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return make_parts(tmp_path)


@pytest.fixture
def worker(settings: Settings, parts: Parts) -> ShardWorker:
    return ShardWorker(settings, link(settings, 5.0), "one", parts, threading.Event())


@pytest.fixture
def wanted(worker: ShardWorker) -> Shard:
    """A shard that a refresh waits for."""
    assert Lease(worker.connection, project_lease(7), "refresh", 30).acquire()
    worker.connection.set(run_key(7), RUN)
    fingerprint = worker._parts.parts(7, None).embedder.fingerprint
    return Shard(RUN, 0, 7, fingerprint, ((1, "a.png"), (2, "missing.png"), (3, "broken.png")))


def test_a_shard_and_an_answer_come_back_as_they_were() -> None:
    assert Shard.from_json(SHARD.to_json()) == SHARD
    own = replace(SHARD, backbone="tuned-0123456789ab")
    assert Shard.from_json(own.to_json()) == own
    assert Answer.from_json(ANSWER.to_json()) == ANSWER
    endless = Answer(RUN, 0, "one", (Found(0, None, "x" * 100_000, None),), "y" * 100_000)
    assert len(endless.to_json()) < 2_000


@pytest.mark.parametrize(
    "parts",
    [
        ["../../x", 3, 7, "f", [[1, "a"]], None],
        [RUN, -1, 7, "f", [[1, "a"]], None],
        [RUN, 3, "../7", "f", [[1, "a"]], None],
        [RUN, 3, True, "f", [[1, "a"]], None],
        [RUN, 3, 7.0, "f", [[1, "a"]], None],
        [RUN, 3, 7, "f" * 300, [[1, "a"]], None],
        [RUN, 3, 7, "f", [], None],
        [RUN, 3, 7, "f", [[1, "a"]] * (SHARD_SIZE + 1), None],
        [RUN, 3, 7, "f", [["1", "a"]], None],
        [RUN, 3, 7, "f", [[1, "a", 2]], None],
        [RUN, 3, 7, "f", [[1, ["a"]]], None],
        [RUN, 3, 7, "f", [[1, ""]], None],
        [RUN, 3, 7, "f", [[1, "DATA:image/png;base64,xx"]], None],
        [RUN, 3, 7, "f", [[1, "a" * (MAX_URI + 1)]], None],
        [RUN, 3, 7, "f", [[1, "a"]], "../tuned-0123456789ab"],
        [RUN, 3, 7, "f", [[1, "a"]], 3],
        [RUN, 3, 7, "f", [[1, "a"]]],
        [RUN, 3, 7, "f"],
        {"run": RUN},
        None,
    ],
)
def test_a_shard_that_is_none_is_refused(parts: object) -> None:
    with pytest.raises(Malformed):
        Shard.from_json(json.dumps(parts))


@pytest.mark.parametrize(
    "row",
    [
        [0, "../../etc", None, "A" * 40],
        [0, KEY, "both", ANSWER.to_json()],
        [0, KEY, None, None],
        [0, KEY, None, "AAAA"],
        [0, KEY, None, "not base64"],
        [0, None, None, None],
        [-1, None, "404", None],
        [0, None, "404"],
        "row",
    ],
)
def test_an_answer_that_is_none_is_refused(row: object) -> None:
    with pytest.raises(Malformed):
        Answer.from_json(json.dumps([RUN, 3, "one", [row], "", {}]))


@pytest.mark.parametrize("text", ["", "{", '"' * 10, "[1, 2]", "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    for read in (Shard.from_json, Answer.from_json):
        with pytest.raises(Malformed):
            read(text)


def test_a_seal_fits_its_text_its_purpose_and_its_token(settings: Settings) -> None:
    seal = Seal(settings)
    sealed = seal.put("shard", "text")
    assert seal.take_off("shard", sealed) == "text"
    others = Seal(settings.model_copy(update={"label_studio_api_key": SecretStr("another")}))
    for reader, purpose, said in [
        (seal, "answer", sealed),
        (seal, "shard", sealed + "!"),
        (seal, "shard", "0" * 64 + "text"),
        (seal, "shard", "\u00e9" * 70),
        (seal, "shard", ""),
        (others, "shard", sealed),
    ]:
        with pytest.raises(Forged):
            reader.take_off(purpose, said)
    assert settings.api_key not in sealed


def test_a_worker_does_a_shard_and_answers(worker: ShardWorker, wanted: Shard, parts: Parts) -> None:
    seal = Seal(worker.settings)
    outcome = worker.embed(seal.put("shard", wanted.to_json()))
    assert outcome == {"project": 7, "shard": 0, "outcome": "embedded", "images": 3}
    raw = worker.connection.lrange(answers_key(RUN), 0, -1)
    assert 0 < worker.connection.ttl(answers_key(RUN)) <= 3600
    assert len(raw) == 1
    answer = Answer.from_json(seal.take_off("answer", raw[0].decode()))
    assert [one.index for one in answer.found] == [0, 1, 2]
    assert [one.key is None for one in answer.found] == [False, True, True]
    assert parts.vectors.has([answer.found[0].key]).all()
    assert "404" in answer.found[1].error


def test_a_stolen_password_makes_no_worker_fetch_anything(
    worker: ShardWorker, wanted: Shard, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    for forged in (wanted.to_json(), "0" * 64 + wanted.to_json(), "", "x"):
        with pytest.raises(Forged):
            worker.embed(forged)
    assert parts.files.fetched == []
    assert "not from a worker with this LABEL_STUDIO_API_KEY" in caplog.text


def test_a_stolen_password_passes_no_results_off(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    connection = link(settings, 5.0)
    board = Board(settings, connection, 7, "pixels-1")
    board.publish(SHARD.items)
    forged = Answer(board.run, 0, "one", (Found(0, KEY, None, bytes(28)),))
    connection.rpush(answers_key(board.run), forged.to_json(), "0" * 64 + forged.to_json(), "x")
    assert board.answer() is None
    assert board.open == {0: SHARD.items}
    assert caplog.text.count("is not believed") == 3
    # an honest one, but of another pass
    connection.rpush(answers_key(board.run), Seal(settings).put("answer", ANSWER.to_json()))
    assert board.answer() is None
    board.close()


def test_whoever_takes_a_shard_has_it(settings: Settings) -> None:
    connection = link(settings, 5.0)
    board = Board(settings, connection, 7, "pixels-1")
    for _ in range(3):
        board.publish(SHARD.items)
    assert connection.lpop(queue(connection, "embed").key) == f"embed-7-{board.run}-0".encode()
    assert board.take_back() == SHARD.items
    assert board.take_back() == SHARD.items
    assert board.take_back() is None
    assert set(board.open) == {0}
    board.close()


def test_a_shard_runs_in_rq_and_leaves_no_uri_behind(worker: ShardWorker, wanted: Shard) -> None:
    board = Board(worker.settings, worker.connection, 7, wanted.fingerprint)
    board.publish(wanted.items)
    job = LineupJob.fetch(f"embed-7-{board.run}-0", worker.connection, SERIALIZER)
    assert 0 < worker.connection.ttl(job.key) <= 3600
    provide(EMBED, worker.embed)
    ran = iter(range(1))
    rq = InProcessWorker(
        ["embed"], "tests", link(worker.settings, 5.0), lambda: None, lambda: next(ran, None) is None
    )
    rq.work(logging_level="WARNING")
    answered = board.answer()
    assert answered is not None
    assert answered[0] == wanted.items
    assert len(answered[1].found) == 3
    assert board.answer() is None
    assert not worker.connection.exists(job.key)
    board.close()
