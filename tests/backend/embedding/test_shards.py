"""Shards of one refresh on several workers: the same state as by one, whoever fails, ends or dies."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.embedding import shards
from backend.embedding.local import LocalEngine
from backend.jobs.base import LeaseLost, Stopped
from backend.jobs.distributed import board, shard_worker
from backend.jobs.distributed.board import begun_key
from backend.jobs.distributed.jobs import queue
from backend.jobs.distributed.seal import Seal
from backend.jobs.distributed.shard_worker import ShardWorker
from backend.jobs.distributed.shards import Shard
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.settings import Settings
from backend.tally import ERRORS, IMAGES, count, tally
from tests.backend.embedding.files import Files
from tests.backend.embedding.shared import Helper, Refresh, make_parts
from tests.backend.trained import make_settings
from tests.redis_server import RedisServer

# more than a refresh has on their way at a time
MANY = [f"{number}.png" for number in range(900)]
URIS = [*MANY[:300], "broken.png", "missing.png", "copy-of-7.png"]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "LOST_AFTER", 0.3)
    monkeypatch.setattr(shards, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(shards, "WAIT", 0.01)
    monkeypatch.setattr(shard_worker, "REST", 0.02)


@pytest.fixture
def settings(tmp_path: Path, redis_server: RedisServer) -> Settings:
    return make_settings(tmp_path, redis_url=redis_server.url, lease_seconds=30)


@pytest.fixture
def refresh(settings: Settings, tmp_path: Path) -> Refresh:
    return Refresh(settings, tmp_path)


@pytest.fixture
def helper(settings: Settings, tmp_path: Path) -> Helper:
    return Helper(settings, make_parts(tmp_path))


@pytest.fixture
def expected(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Refresh:
    """The same images by the local engine, in a folder of its own."""
    alone = Refresh(settings, tmp_path_factory.mktemp("local"))
    alone.engine = LocalEngine()
    return alone


def assert_same(one: Refresh, other: Refresh, uris: list[str] = URIS) -> None:
    """Both come to the same, in memory and on disk."""
    found, expected = one.embed(uris), other.embed(uris)
    for name in ("keys", "errors"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("vectors", "measures"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert known(one) == known(other)


def known(refresh: Refresh) -> dict[str, tuple[object, ...]]:
    return {uri: (c.key, c.error, c.measures) for uri, c in refresh.store.contents().items()}


def gently(worker: ShardWorker, sealed: str) -> object:
    """Leave the refresh its part: on a fast machine one thread may take everything."""
    time.sleep(0.01)
    return worker.embed(sealed)


def test_one_worker_alone_does_all_and_leaves_nothing_in_redis(
    refresh: Refresh, expected: Refresh, redis_server: RedisServer
) -> None:
    assert_same(refresh, expected)
    assert sorted(refresh.parts.files.fetched) == sorted(URIS)
    assert refresh.reports[-1] == (len(URIS), len(URIS))
    left = {key.decode() for key in redis_server.client().scan_iter("*")}
    assert left <= {"rq:queues"}


def test_a_project_with_its_own_backbone_shares_too(refresh: Refresh, helper: Helper) -> None:
    own = "tuned-0123456789ab"
    refresh.parts.stage = replace(refresh.parts.stage, backbone=own)
    helper.instead = gently
    with helper:
        refresh.embed(URIS)
    assert set(helper.parts.asked) == {own}
    assert set(helper.outcomes) == {"embedded"}


def test_two_share_the_work_and_the_state_is_the_same(
    refresh: Refresh, helper: Helper, expected: Refresh
) -> None:
    helper.instead = gently
    with tally() as counts, helper:
        assert_same(refresh, expected)
    assert helper.parts.files.fetched
    assert refresh.parts.files.fetched
    assert sorted(helper.parts.files.fetched + refresh.parts.files.fetched) == sorted(URIS)
    assert counts == {IMAGES: {"embedded": 2 * 300, "broken": 2 * 2}}, "of both"
    assert set(helper.outcomes) == {"embedded"}
    dones = [done for done, _ in refresh.reports]
    assert dones == sorted(dones)


def test_few_images_are_not_offered(refresh: Refresh, redis_server: RedisServer) -> None:
    refresh.during = lambda: offered.append(redis_server.client().keys("rq:job:*"))
    offered: list[object] = []
    assert refresh.embed(URIS[:60]).ok.all()
    assert offered
    assert not any(offered)


def test_images_in_uris_never_go_through_redis(
    refresh: Refresh, helper: Helper, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [f"data:image/png;base64,secret{number}" for number in range(40)]
    long = ["x" * 3000 + ".png"]
    seen: list[str] = []
    real = Shard.to_json
    monkeypatch.setattr(Shard, "to_json", lambda shard: seen.append(real(shard)) or real(shard))
    with helper:
        assert refresh.embed(URIS[:200] + pictures + long).ok.all()
    assert seen
    assert "secret" not in "".join(seen)
    assert "xxx" not in "".join(seen)


def test_what_a_dead_worker_had_begun_is_done_here_one_at_a_time(
    refresh: Refresh, helper: Helper, expected: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Shard] = []

    def die(worker: ShardWorker, sealed: str) -> object:
        """Begin and be gone: what a kill leaves, once its lease has run out."""
        shard = Shard.from_json(Seal(worker.settings).take_off("shard", sealed))
        worker.connection.sadd(begun_key(shard.run), str(shard.number))
        begun.append(shard)
        helper.instead = gently
        return {"outcome": "died"}

    alone: list[str] = []
    real = type(refresh.room.casualties).one_by_one

    def one_by_one(casualties, todo):
        alone.extend(uri for _, uri in todo)
        return real(casualties, todo)

    monkeypatch.setattr("backend.casualties.Casualties.one_by_one", one_by_one)
    helper.instead = die
    with tally() as counts, helper:
        assert_same(refresh, expected)
    assert len(begun) == 1
    assert set(alone) == {uri for _, uri in begun[0].items}
    assert counts == {IMAGES: {"embedded": 2 * 300, "broken": 2 * 2}}, "of both"


def test_shards_that_vanish_unbegun_are_simply_done(
    refresh: Refresh, helper: Helper, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.embedding.intake.Intake.alone", None)
    helper.instead = lambda worker, sealed: {"outcome": "vanished"}
    with helper:
        assert refresh.embed(URIS[:300]).ok.all()
    assert "vanished" in helper.outcomes


def test_what_a_worker_cannot_do_is_done_here_and_nothing_is_marked_broken(
    refresh: Refresh, helper: Helper, caplog: pytest.LogCaptureFixture
) -> None:
    helper.parts.files.down = True
    with helper:
        assert refresh.embed(URIS[:300]).ok.all()
    assert "LabelStudioUnreachable" in helper.outcomes
    assert sorted(refresh.parts.files.fetched) == sorted(URIS[:300])
    assert "left 32 of 32 images undone" in caplog.text


def test_a_label_studio_that_is_down_marks_no_image_as_broken(refresh: Refresh, helper: Helper) -> None:
    helper.parts.files.down = refresh.parts.files.down = True
    with helper, pytest.raises(LabelStudioUnreachable):
        refresh.embed(URIS)
    assert refresh.store.contents() == {}
    helper.parts.files.down = refresh.parts.files.down = False
    assert refresh.embed(URIS[:300]).ok.all()


def test_a_worker_that_ends_hands_over_what_it_has(refresh: Refresh, helper: Helper) -> None:
    real = Files.fetch

    def fetch(files: Files, uri: str, task_id: int, project_id: int) -> bytes:
        if len(files.fetched) == 10:
            helper.stopping.set()
        return real(files, uri, task_id, project_id)

    helper.parts.files.fetch = fetch.__get__(helper.parts.files)  # type: ignore[method-assign]
    helper.parts.stage.embedder.batch_size = 2
    with helper:
        assert refresh.embed(URIS[:300]).ok.all()
    both = set(helper.parts.files.fetched) & set(refresh.parts.files.fetched)
    assert helper.stopping.is_set()
    assert len(both) < len(helper.parts.files.fetched)


def test_vectors_that_are_not_where_they_should_be_are_made_again(
    settings: Settings, refresh: Refresh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Helper(settings, make_parts(tmp_path / "elsewhere")) as helper:
        assert refresh.embed(URIS[:300]).ok.all()
    assert "embedded" in helper.outcomes
    assert "all workers need the same MODEL_DIR" in caplog.text
    assert sorted(refresh.parts.files.fetched) == sorted(URIS[:300])


def test_another_embedder_does_no_shard(
    settings: Settings, refresh: Refresh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Helper(settings, make_parts(tmp_path, "another")) as helper:
        assert refresh.embed(URIS[:300]).ok.all()
    assert set(helper.outcomes) == {"WrongEmbedder"}
    assert "give all workers the same EMBEDDER" in caplog.text
    assert helper.parts.files.fetched == []


def test_counts_of_shards_are_the_projects(refresh: Refresh, helper: Helper) -> None:
    def hiccup(worker: ShardWorker, sealed: str) -> object:
        time.sleep(0.01)
        real = worker._embed

        def counted(shard, batch) -> None:
            count(ERRORS, "502")
            real(shard, batch)

        worker._embed = counted  # type: ignore[method-assign]
        try:
            return worker.embed(sealed)
        finally:
            worker._embed = real  # type: ignore[method-assign]

    helper.instead = hiccup
    with tally() as counts, helper:
        refresh.embed(URIS)
    assert counts[ERRORS] == {"502": len(helper.outcomes)}


@pytest.mark.parametrize("why", [Stopped, LeaseLost, TimeoutError])
def test_a_refresh_that_ends_early_takes_its_shards_back(
    refresh: Refresh, redis_server: RedisServer, why: type[Exception]
) -> None:
    client = redis_server.client()
    offered: list[int] = []

    def end() -> None:
        if refresh.reports[-1][0] >= 64:
            offered.append(client.llen(queue(client, "embed").key))
            raise why

    refresh.during = end
    with pytest.raises(why):
        refresh.embed(MANY)
    assert offered[0] > 3, "there was something to take back"
    assert client.llen(queue(client, "embed").key) == 0
    assert not client.keys("rq:job:*")
    kept = refresh.store.contents()
    assert 64 <= len(kept) < len(MANY)
    refresh.during = lambda: None
    before = len(refresh.parts.files.fetched)
    refresh.embed(MANY)
    assert len(refresh.parts.files.fetched) - before == len(MANY) - len(kept)


def test_nobody_works_for_a_refresh_that_is_gone(refresh: Refresh, helper: Helper) -> None:
    kept: list[str] = []
    helper.instead = lambda worker, sealed: kept.append(sealed) or {"outcome": "kept"}
    with helper:
        refresh.embed(URIS)
    assert kept
    assert helper.worker.embed(kept[0])["outcome"] == "nobody waits"
    assert helper.parts.files.fetched == []


def test_redis_may_go_away_and_come_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(tmp_path) as server:
        refresh = Refresh(make_settings(tmp_path, redis_url=server.url), tmp_path)
        stopped: list[float] = []

        def during() -> None:
            if not stopped and refresh.reports[-1][0] >= 64:
                server.stop()
                stopped.append(time.monotonic())
            elif stopped and server.process is None and time.monotonic() - stopped[0] > 0.5:
                server.start()

        refresh.during = during
        assert refresh.embed(MANY).ok.all()
        assert "ConnectionError" in caplog.text
        assert sorted(refresh.parts.files.fetched) == sorted(MANY)
        assert server.client().llen(queue(server.client(), "embed").key) == 0


def test_without_redis_a_refresh_goes_on_only_as_long_as_its_lease(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        refresh = Refresh(make_settings(tmp_path, redis_url=server.url), tmp_path, lease_seconds=1.5)
        refresh.during = lambda: refresh.reports[-1][0] >= 64 and server.process and server.stop()
        with pytest.raises(LeaseLost):
            refresh.embed(MANY)
        assert 64 <= len(refresh.store.contents()) < len(MANY)
