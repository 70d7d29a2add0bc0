"""Leases, in a real Redis."""

from __future__ import annotations

import threading
import time

import pytest

from backend.jobs.base import LeaseLost
from backend.jobs.distributed.lease import Lease, is_leased
from tests.redis_server import RedisServer


def claim(server: RedisServer, seconds: float = 30.0, owner: str = "a") -> Lease:
    return Lease(server.client(), "project:7", owner, seconds)


def test_one_owner_at_a_time(redis_server: RedisServer):
    first, second = claim(redis_server), claim(redis_server)
    assert first.acquire()
    assert not second.acquire()
    second.release()
    assert is_leased(redis_server.client(), "project:7"), "only the owner gives it back"
    first.release()
    assert second.acquire()


def test_of_many_at_once_one_gets_it(redis_server: RedisServer):
    claims = [claim(redis_server, owner=str(number)) for number in range(12)]
    threads = [threading.Thread(target=entry.acquire) for entry in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(entry.held for entry in claims) == 1


def test_it_expires_with_its_owner_and_the_owner_knows_no_later(redis_server: RedisServer):
    dead, heir = claim(redis_server, seconds=0.3), claim(redis_server)
    assert dead.acquire()
    while not heir.acquire():
        time.sleep(0.02)
    assert not dead.held
    with pytest.raises(LeaseLost):
        dead.check()
    assert not dead.renew()
    dead.release()
    assert heir.renew(), "what was lost is not another one's to give back"


def test_it_lasts_while_it_is_kept(redis_server: RedisServer):
    lease, other = claim(redis_server, seconds=4.0), claim(redis_server)
    assert lease.acquire()
    with lease.kept():
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            assert not other.acquire()
            time.sleep(0.1)
        lease.check()
    assert other.acquire(), "it was given back at the end"


def test_one_that_was_taken_away_is_noticed(redis_server: RedisServer):
    lease = claim(redis_server, seconds=1.0)
    assert lease.acquire()
    with lease.kept():
        redis_server.client().flushall()  # a Redis that came back without what it knew
        deadline = time.monotonic() + 10
        while lease.held:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_claim_whose_answer_was_lost_is_its_own(redis_server: RedisServer):
    lease = claim(redis_server)
    assert lease.acquire()
    assert lease.acquire()
