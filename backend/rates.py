"""How many requests a client may send: a token bucket for each address."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import Scope

# what a wrong password costs, in requests
WRONG_PASSWORD = 50
_CLIENTS = 4096


class Rates:
    """Token buckets by client; the clients seen longest ago are forgotten first.

    Parameters
    ----------
    per_second : float
        Requests a second; twice that may come at once, and one in any case. 0: any number.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, client: str) -> bool:
        """Tell whether a client may send one more request now, and count it."""
        return self._take(client, 1, debt=False)

    def charge(self, client: str, cost: float) -> bool:
        """Count a request that costs more, also where it may not be sent; return whether it may.

        The debt is what makes guessing futile: a right password is refused like the wrong ones before it.
        """
        return self._take(client, cost, debt=True)

    def _take(self, client: str, cost: float, *, debt: bool) -> bool:
        if not self.per_second:
            return True
        now, most, client = self._clock(), max(1.0, 2 * self.per_second), _network(client)
        left, at = self._buckets.pop(client, (most, now))
        left = min(most, left + (now - at) * self.per_second)
        enough = left >= 1
        if enough or debt:
            left = max(left - cost, -most)
        self._buckets[client] = left, now
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return enough


def client_of(scope: Scope) -> str:
    """Return the address a request comes from."""
    client = scope.get("client")
    return client[0] if client else ""


def _network(client: str) -> str:
    """Return what one person has: an IPv4 address, or the /64 an IPv6 address is in."""
    if ":" not in client:
        return client
    try:
        return str(ipaddress.IPv6Network(f"{client.partition('%')[0]}/64", strict=False))
    except ValueError:
        return client
