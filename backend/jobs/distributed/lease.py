"""Leases in Redis: at most one owner at a time, renewed while it works, gone a while after it died."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from redis import Redis, RedisError

from backend.jobs.base import LeaseLost

log = logging.getLogger(__name__)

_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
# how often a lease is renewed in the time it lasts
RENEWALS = 4


def project_lease(project_id: int) -> str:
    """Return the name of the lease on a project."""
    return f"project:{project_id}"


def is_leased(connection: Redis, name: str) -> bool:
    """Tell whether anybody holds a lease."""
    return bool(connection.exists(_key(name)))


def _key(name: str) -> str:
    return f"lineup:lease:{name}"


class Lease:
    """One owner's claim to a name.

    Parameters
    ----------
    connection : Redis
    name : str
    owner : str
        For people who look into Redis; claims of one owner still exclude each other.
    seconds : float
        How long it lasts without renewal.

    Notes
    -----
    The owner counts from before it asked, on its own clock, and stops believing in the lease no later than Redis
    drops it. A process that was stopped for a while and goes on notices at its next `check`.
    """

    def __init__(self, connection: Redis, name: str, owner: str, seconds: float) -> None:
        self._redis = connection
        self.name = name
        self.seconds = seconds
        self._key = _key(name)
        self._token = f"{owner} {uuid4().hex}".encode()
        self._until = 0.0
        self._renew = connection.register_script(_RENEW)
        self._release = connection.register_script(_RELEASE)

    @property
    def held(self) -> bool:
        """Whether it is certainly held."""
        return time.monotonic() < self._until

    def check(self) -> None:
        """Raise `LeaseLost` unless it is certainly held."""
        if not self.held:
            raise LeaseLost(f"the lease on {self.name} is lost")

    def acquire(self) -> bool:
        """Take it if it is free; return whether it is held now.

        Raises
        ------
        RedisError
            If Redis cannot be asked.
        """
        asked = time.monotonic()
        taken = self._redis.set(self._key, self._token, nx=True, px=int(self.seconds * 1000))
        # an answer that was lost on the way: the name is taken, by this claim
        if not taken and self._redis.get(self._key) != self._token:
            return False
        self._until = asked + self.seconds
        return True

    def renew(self) -> bool:
        """Make it last again; return False, and believe in it no more, if it is gone.

        Raises
        ------
        RedisError
            If Redis cannot be asked; until the time is up the lease is held all the same.
        """
        asked = time.monotonic()
        if not self._renew(keys=[self._key], args=[self._token, int(self.seconds * 1000)]):
            self._until = 0.0
            return False
        self._until = asked + self.seconds
        return True

    def release(self) -> None:
        """Give it back, if it is still this claim's; where Redis does not answer it expires by itself."""
        self._until = 0.0
        try:
            self._release(keys=[self._key], args=[self._token])
        except RedisError as error:
            log.warning("the lease on %s could not be given back, it expires: %s", self.name, error)

    @contextmanager
    def kept(self) -> Iterator[Lease]:
        """Renew a lease that was acquired from a thread of its own; give it back at the end."""
        ending = threading.Event()

        def keep() -> None:
            while not ending.wait(self.seconds / RENEWALS):
                try:
                    if not self.renew():
                        return
                except RedisError as error:
                    if not self.held:
                        log.warning("the lease on %s is lost, Redis does not renew it: %s", self.name, error)
                        return

        keeper = threading.Thread(target=keep, name=f"lease-{self.name}", daemon=True)
        keeper.start()
        try:
            yield self
        finally:
            ending.set()
            keeper.join()
            self.release()
