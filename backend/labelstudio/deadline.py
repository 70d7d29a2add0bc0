"""An end to a whole exchange: a read timeout alone never fires while single bytes keep dripping in."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Any, Self

# what httpcore's trace calls the moments at which a connection has its socket
_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")


class Deadline:
    """Cuts the connections of an exchange off when its time is over; a context manager.

    Parameters
    ----------
    seconds : float
        Time for everything: connecting, redirects, headers and body.

    Attributes
    ----------
    passed : bool
        Whether the time is over.
    message : str
        What to say of it.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self.message = f"it took longer than {seconds:g} s"
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._socket = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Learn of a connection; goes into a request as httpcore's extension ``trace``."""
        if event in _CONNECTED:
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                self._shut()

    def _cut(self) -> None:
        with self._lock:
            self.passed = True
            self._shut()

    def _shut(self) -> None:
        if not self.passed or self._socket is None:
            return
        try:
            # the plain socket's, also under TLS: it wakes the thread that waits in a read
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            self._socket = None  # the connection has ended by itself
