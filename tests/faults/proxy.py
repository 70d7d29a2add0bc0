"""A real HTTP proxy between Lineup and Label Studio that breaks what it is told to break."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

HOP = frozenset({"connection", "transfer-encoding", "content-length", "host"})


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    Attributes
    ----------
    status : int or None
        Answered in Label Studio's place; None: Label Studio's own answer.
    headers : dict
        Of that answer.
    body : bytes
        Of that answer.
    carried_out : bool
        Whether Label Studio gets the request all the same, so that only its answer is lost.
    keep : float
        Share of Label Studio's own answer that is sent before the connection breaks off.
    delay : float
        Seconds before anything is answered.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    carried_out: bool = False
    keep: float = 1.0
    delay: float = 0.0


Rule = Callable[[str, str], Fault | None]


@dataclass(frozen=True)
class Call:
    """A request that came: when, and what of it was broken."""

    at: float
    method: str
    path: str
    fault: Fault | None


class FaultProxy:
    """Passes requests on to a server on loopback, one connection each, but for those that a rule breaks.

    Attributes
    ----------
    calls : list of Call
        All requests so far.
    """

    def __init__(self, port: int) -> None:
        self.to = port
        self.calls: list[Call] = []
        self._rule: Rule = lambda method, path: None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    proxy._handle(self)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """The address to use in place of Label Studio's."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def broken(self, rule: Rule | Fault) -> Iterator[list[Call]]:
        """Break every request, or those for which a rule gives a fault; gives the list of those that were broken."""
        start, hit = len(self.calls), list[Call]()
        self._rule = rule if callable(rule) else lambda method, path: rule
        try:
            yield hit
        finally:
            self._rule = lambda method, path: None
            hit += [call for call in self.calls[start:] if call.fault is not None]

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self._rule(request.command, request.path)
        self.calls.append(Call(time.monotonic(), request.command, request.path, fault))
        fault = fault or Fault()
        time.sleep(fault.delay)
        if fault.status is None or fault.carried_out:
            status, headers, answer = self._pass_on(request, body)
        if fault.status is not None:
            status, headers, answer = fault.status, fault.headers, fault.body
        request.send_response_only(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(answer[: int(len(answer) * fault.keep)])

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        there = HTTPConnection("127.0.0.1", self.to, timeout=120)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        try:
            there.request(request.command, request.path, body or None, headers)
            answer = there.getresponse()
            content = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
            return answer.status, kept, content
        except OSError as error:  # as a reverse proxy says that what is behind it is not there
            return 502, {"Content-Type": "text/html"}, f"<html>{error}</html>".encode()
        finally:
            there.close()
