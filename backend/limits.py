"""What a request may cost: its size, the memory of all that are held at once, its time, and how many come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.auth import event_allowed
from backend.rates import Rates, client_of
from backend.settings import Settings

BODY_SECONDS = 60.0
# JSON grows when it is parsed, a list of empty objects a hundredfold: two million values to 300 MB
MAX_VALUES = 2_000_000
VALUE_BYTES = 100
# bodies up to this size are not counted against the memory of all
SMALL = 65_536
# missed events become one look at every project, this often
MISSED_EVERY = 1.0


_BUSY = "too many large requests at once; try again in a second"


class Refused(Exception):
    """A request that is not passed on.

    Attributes
    ----------
    status : int
        413, 429, 503, or 408 where the body takes too long.
    reason : str
        A word for the metrics: ``size``, ``rate``, ``busy`` or ``time``.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(message)


class LimitsMiddleware:
    """Reads request bodies within limits and passes them on whole; belongs behind `backend.auth.AuthMiddleware`.

    An event in a refused webhook is not lost: what it says cannot be known, so every project is looked at.

    Parameters
    ----------
    app : ASGIApp
    settings : Settings
    rates : Rates
    refused : callable
        Told the reason of every refusal.
    missed : callable
        Called in a thread, soon after events were refused, at most once a second.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        rates: Rates,
        refused: Callable[[str], None],
        missed: Callable[[], None],
    ) -> None:
        self.app = app
        self.settings = settings
        self.rates = rates
        self._refused = refused
        self._missed = missed
        self._held = 0
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        counted = 0
        try:
            if not self.rates.allow(client_of(scope)):
                raise Refused(429, "rate", "more requests than RATE_LIMIT allows; try again in a second")
            if scope["method"] != "POST":
                await self.app(scope, receive, send)
                return
            body, counted = await self._read(Headers(scope=scope), receive)
            await self.app(scope, _replay(body, receive), send)
        except Refused as refusal:
            await self._refuse(refusal, scope, receive, send)
        finally:
            self._held -= counted

    async def _read(self, headers: Headers, receive: Receive) -> tuple[bytes, int]:
        """Return a body and how much of it counts against the memory of all."""
        most = self.settings.max_request_bytes
        too_large = Refused(413, "size", f"the body has more than {most} bytes (MAX_REQUEST_BYTES)")
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise too_large
        chunks: list[bytes] = []
        size = counted = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > most:
                        raise too_large
                    more = max(0, size - SMALL) - counted
                    if more and self._held + more > 2 * most:
                        raise Refused(503, "busy", _BUSY)
                    self._held += more
                    counted += more
                    chunks.append(chunk)
                    if not message.get("more_body", False):  # a client that went away ends it, too
                        break
            body = b"".join(chunks)
            if size > SMALL:
                more = VALUE_BYTES * await run_in_threadpool(_count_values, body)
                # a request that is alone may take what it needs
                if self._held > counted and self._held + more > 2 * most:
                    raise Refused(503, "busy", _BUSY)
                self._held += more
                counted += more
        except TimeoutError:
            self._held -= counted
            raise Refused(408, "time", f"the body took longer than {BODY_SECONDS:g} s") from None
        except BaseException:
            self._held -= counted
            raise
        return body, counted

    async def _refuse(self, refusal: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        self._refused(refusal.reason)
        detail = str(refusal)
        if scope["path"] == "/webhook" and event_allowed(self.settings, Headers(scope=scope), "unknown"):
            detail += "; Lineup looks at every project instead"
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
        # what is left of the body is not read, so the connection cannot be used again
        headers = {"Connection": "close"} | ({"Retry-After": "1"} if refusal.status in (429, 503) else {})
        await JSONResponse({"detail": detail}, refusal.status, headers)(scope, receive, send)

    async def _look(self) -> None:
        # the wait comes first, so that one look is enough for every event that was refused until then
        await asyncio.sleep(MISSED_EVERY)
        self._looking = None
        await run_in_threadpool(self._missed)


def _count_values(body: bytes) -> int:
    """Return about how many values a JSON text has, by what separates and opens them.

    Raises
    ------
    Refused
        If they are more than `MAX_VALUES`.
    """
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MAX_VALUES:
        raise Refused(413, "size", f"the body has more than {MAX_VALUES:,} values; send fewer tasks at once")
    return values


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
