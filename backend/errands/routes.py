"""``POST /api/active_learning``, ``POST /api/f1`` and ``GET /api/errands/ID``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from backend.errands.bodies import BODIES
from backend.errands.book import Errand, UnknownErrand
from backend.errands.paths import NotAllowed, below
from backend.errands.runner import ErrandRunner, TooMany
from backend.protocol import MalformedBody, describe_body, parse_body


def add_routes(app: FastAPI, runner: ErrandRunner, data_root: Path | None) -> None:
    """Add the routes to an application."""
    for kind in BODIES:
        _add_route(app, runner, data_root, kind)

    @app.get("/api/errands/{errand_id}")
    def errand(errand_id: str) -> JSONResponse:
        try:
            return _answer(runner.book.read(errand_id))
        except UnknownErrand as error:
            return JSONResponse({"detail": str(error)}, status_code=404)


def _add_route(app: FastAPI, runner: ErrandRunner, data_root: Path | None, kind: str) -> None:
    @app.post(f"/api/{kind}", openapi_extra=describe_body(BODIES[kind]), name=kind)
    async def ask(request: Request) -> JSONResponse:
        body = parse_body(BODIES[kind], await request.body())
        try:
            for path in body.paths():
                below(data_root, path)
        except (NotAllowed, FileNotFoundError) as error:
            raise MalformedBody([{"field": "body", "message": str(error)}]) from None
        try:
            found = await run_in_threadpool(runner.ask, kind, body.model_dump())
        except TooMany as error:
            return JSONResponse({"detail": str(error)}, status_code=503, headers={"Retry-After": "60"})
        return _answer(found, status=202)


def _answer(errand: Errand, status: int = 200) -> JSONResponse:
    said = asdict(errand)
    return JSONResponse({**said, "url": f"/api/errands/{errand.id}"}, status_code=status)
