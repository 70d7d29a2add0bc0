"""The application behind a real socket, and as a function that is called."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI


@contextmanager
def serving(app: FastAPI) -> Iterator[int]:
    """Run an application as `lineup serve` does; yields the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, http="h11", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


class Caller:
    """Calls an ASGI application without a network, one request at a time, and never waits for ever."""

    def __init__(self, app: FastAPI, patience: float = 10.0) -> None:
        self.app = app
        self.patience = patience
        self.loop = asyncio.new_event_loop()

    def post(self, path: str, raw: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Return status and decoded body."""
        sent: list[dict[str, Any]] = []
        pairs = [(b"content-length", str(len(raw)).encode())]
        pairs += [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": pairs,
            "client": ("192.0.2.1", 1),
            "server": ("lineup", 80),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        self.loop.run_until_complete(asyncio.wait_for(self.app(scope, receive, send), self.patience))
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(body)

    def close(self) -> None:
        self.loop.close()
