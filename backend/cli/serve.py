"""`lineup serve`."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Annotated

import typer

from backend.cli.common import Failure, clear_errors, label_studio_settings
from backend.jobs.open import open_queue
from backend.logs import configure

log = logging.getLogger(__name__)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; the setting HOST without it.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; the setting PORT without it.")
    ] = None,
    own_worker: Annotated[
        bool, typer.Option("--worker", help="With REDIS_URL, too, start a worker beside the server.")
    ] = False,
) -> None:
    """Start the server and its worker; Ctrl-C ends both.

    With REDIS_URL it starts no worker: those are processes of their own, `lineup worker`, here or elsewhere.

    Then connect a project: `lineup connect --project 7`, or in Label Studio: Settings, Model, Connect Model.
    """
    with clear_errors():
        settings = label_studio_settings()
        import uvicorn

        from backend.app import create_app

        configure(settings, "server")
        listening = _listen(host or settings.host, port or settings.port)
        config = uvicorn.Config(
            create_app(settings, open_queue(settings, own_worker=own_worker)),
            log_config=None,
            # unlike httptools it limits how long the headers of a request may be
            http="h11",
            ws="none",
            access_log=settings.log_level == "DEBUG",
            timeout_graceful_shutdown=3,
        )
        log.info("listening on %s port %d", *listening.getsockname()[:2])
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; a port that cannot be had is told before anything else starts."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        said = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error.strerror})"
        raise Failure(
            f"port {port} on {host} {said}; choose another: lineup serve --port {port + 1}"
        ) from None
