"""The HTTP face: Label Studio's ML-backend protocol, health and metrics. Nothing here learns or waits."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from backend import __version__
from backend.auth import AuthMiddleware, event_allowed
from backend.doctor.knock import REFUSED, answer_knock, is_knock
from backend.errands.routes import add_routes
from backend.errands.runner import ErrandRunner
from backend.finetuning.record import read_training
from backend.jobs.base import QueueUnavailable, RefreshQueue
from backend.jobs.open import open_queue
from backend.limits import LimitsMiddleware
from backend.logs import log_fields
from backend.metrics import CONTENT_TYPE, Metrics
from backend.predict import Predictor
from backend.project import Project, open_registry, project_status
from backend.protocol import (
    MalformedBody,
    PredictBody,
    SetupBody,
    WebhookBody,
    describe_body,
    parse_body,
    parse_project,
)
from backend.rates import WRONG_PASSWORD, Rates, client_of
from backend.registry import UNTRAINED, VersionNotFound
from backend.settings import Settings
from backend.shared.folder import share
from backend.status import replace_text
from backend.storage import explain, find_problem

log = logging.getLogger(__name__)

SETUP_FILE = "setup.json"
# predictions at work at a time, of the forty threads there are: others may wait for images, events must not
PREDICTING = 8


class Service:
    """What the routes share.

    Parameters
    ----------
    settings : Settings
    queue : RefreshQueue
    """

    def __init__(self, settings: Settings, queue: RefreshQueue) -> None:
        self.settings = settings
        self.queue = queue
        self.predictor = Predictor(settings, self.ask)
        self.metrics = Metrics(settings, queue)

    def ask(self, project_id: int, reason: str) -> bool:
        """Ask for a refresh on behalf of an answer that does not depend on it; return whether it was taken."""
        try:
            self.queue.request(project_id, reason)
        except QueueUnavailable as error:
            log.error("project %d: nobody was asked for a refresh (%s): %s", project_id, reason, error)
            return False
        return True

    def setup(self, body: SetupBody) -> str:
        """Adopt a project that is new or has another label config; return the served version."""
        path = self.settings.project_dir(body.project) / SETUP_FILE
        seen = body.digest()
        known = path.exists() and path.read_text(encoding="utf-8") == seen
        if not known and self.ask(body.project, "setup"):
            try:
                replace_text(path, seen)
            except OSError as error:  # the next one asks again; what is served is told all the same
                log.error("project %d: %s", body.project, explain(error))
        return self.predictor.version(body.project)

    def hint(self, body: WebhookBody) -> None:
        """Pass on that something happened: in the event's project, or in all where it names none."""
        known = Project.known(self.settings)
        projects = known if body.project is None else [p for p in known if p == body.project]
        for project_id in projects:
            self.queue.request(project_id, body.event)
        if not projects:
            log.info("event %s: project %s is not connected to Lineup", body.event, body.project)

    def look_everywhere(self) -> None:
        """Make up for events that could not be read: ask for a look at every project."""
        try:
            for project_id in Project.known(self.settings):
                self.queue.request(project_id, "overflow")
        except (OSError, sqlite3.Error, QueueUnavailable) as error:
            log.error("events were refused, and no look at the projects could be asked for: %s", error)

    def predict(self, raw: bytes) -> dict[str, Any]:
        """Answer a predict request."""
        body = parse_body(PredictBody, raw)
        project_id = body.project_id()
        with self.metrics.predict_seconds.time(), log_fields(project=project_id or 0):
            results = self.predictor.predict(project_id, body.tasks, body.label_config)
        empty = sum(not result["result"] for result in results)
        self.metrics.predictions.labels("empty").inc(empty)
        self.metrics.predictions.labels("predicted").inc(len(results) - empty)
        return {"results": results}

    def health(self) -> dict[str, Any]:
        """Return what is served and whether the worker runs."""
        known = Project.known(self.settings)
        projects = {str(project_id): self._project(project_id) for project_id in known}
        shared = share(self.settings)
        problem = (
            find_problem(self.settings.model_dir)
            or (shared.bucket.problem if shared else None)
            or self._storage_error(known)
        )
        return {
            "status": "UP",
            "model_class": "Lineup",
            "version": __version__,
            "worker": {"alive": self.queue.alive, "restarts": self.queue.restarts},
            "queue": {"problem": self.queue.problem},
            "storage": {"problem": problem},
            "projects": projects,
        }

    def versions(self, project_id: int | None) -> list[str]:
        """Return the stored versions, oldest first: of one project or of all."""
        projects = Project.known(self.settings) if project_id is None else [project_id]
        return [version for project in projects for version in open_registry(self.settings, project).ids()]

    def _storage_error(self, projects: list[int]) -> str | None:
        """Return why a worker could not write; its needs may be larger than those of a try here."""
        errors = (project_status(self.settings, project_id).last_error for project_id in projects)
        return next((error.message for error in errors if error and error.storage), None)

    def _project(self, project_id: int) -> dict[str, Any]:
        status = project_status(self.settings, project_id)
        version = self.predictor.version(project_id)
        manifest = self._manifest(project_id, version)
        training = read_training(self.settings, project_id, now=False)
        return {
            "model_version": version,
            "state": status.state,
            "embedder": manifest.get("embedder", self.settings.embedder),
            "note": manifest.get("note") or (status.last_refresh.note if status.last_refresh else None),
            "training": {
                "state": training.state,
                "before": training.before,
                "after": training.after,
                "message": training.message,
            },
        }

    def _manifest(self, project_id: int, version: str) -> dict[str, Any]:
        try:
            return {} if version == UNTRAINED else open_registry(self.settings, project_id).manifest(version)
        except VersionNotFound as error:
            return {"note": f"{error}; run: lineup refresh --project {project_id}"}


def create_app(settings: Settings, queue: RefreshQueue | None = None) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    settings : Settings
    queue : RefreshQueue or None
        None: what the settings ask for, without ``REDIS_URL`` a child process that lives as long as the application.
    """
    queue = queue or open_queue(settings)
    service = Service(settings, queue)
    errands = ErrandRunner(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        queue.start()
        if settings.data_root is not None:
            errands.start()
        try:
            yield
        finally:
            service.predictor.close()
            await run_in_threadpool(errands.stop)
            await run_in_threadpool(queue.stop)

    app = FastAPI(
        title="Lineup",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    rates = Rates(settings.rate_limit)

    def refused(reason: str) -> None:
        service.metrics.rejected.labels(reason).inc()

    # the last one added is the first one asked
    app.add_middleware(
        LimitsMiddleware, settings=settings, rates=rates, refused=refused, missed=service.look_everywhere
    )
    app.add_middleware(AuthMiddleware, settings=settings, rates=rates, refused=refused)
    app.state.service = service
    _add_errors(app, service)
    _add_routes(app, service, rates, refused)
    add_routes(app, errands, settings.data_root)
    return app


def _add_routes(app: FastAPI, service: Service, rates: Rates, refused: Callable[[str], None]) -> None:
    predicting = asyncio.Semaphore(PREDICTING)

    @app.get("/")
    @app.get("/health")
    def health() -> JSONResponse:
        return JSONResponse(service.health())

    @app.post("/setup", openapi_extra=describe_body(SetupBody))
    async def setup(request: Request) -> JSONResponse:
        body = parse_body(SetupBody, await request.body())
        if is_knock(body.extra_params):
            await run_in_threadpool(answer_knock, service.settings.model_dir, body.extra_params)
            return JSONResponse({"detail": "lineup doctor asked; nothing is connected"}, status_code=REFUSED)
        return JSONResponse({"model_version": await run_in_threadpool(service.setup, body)})

    @app.post("/predict", openapi_extra=describe_body(PredictBody))
    async def predict(request: Request) -> JSONResponse:
        raw = await request.body()
        async with predicting:
            return JSONResponse(await run_in_threadpool(service.predict, raw))

    @app.post("/webhook", openapi_extra=describe_body(WebhookBody))
    async def webhook(request: Request) -> JSONResponse:
        body = parse_body(WebhookBody, await request.body())
        if not event_allowed(service.settings, request.headers, body.event):
            refused("credentials")
            rates.charge(client_of(request.scope), WRONG_PASSWORD)
            return JSONResponse({"detail": "the header X-Lineup-Secret is missing or wrong"}, status_code=401)
        service.metrics.events.labels(body.event).inc()
        await run_in_threadpool(service.hint, body)
        return JSONResponse({"status": "ok", "event": body.event})

    @app.get("/versions")
    def versions(project: str | None = None) -> JSONResponse:
        try:
            project_id = None if project is None else parse_project(project)
        except ValueError as error:
            raise MalformedBody([{"field": "project", "message": str(error)}]) from None
        return JSONResponse({"versions": service.versions(project_id)})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(service.metrics.render(), media_type=CONTENT_TYPE)


def _add_errors(app: FastAPI, service: Service) -> None:
    @app.exception_handler(MalformedBody)
    def malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, MalformedBody)
        service.metrics.refused.labels(request.url.path).inc()
        log.warning("%s %s: malformed body: %.500s", request.method, request.url.path, error)
        return JSONResponse({"detail": error.problems}, status_code=422)

    @app.exception_handler(QueueUnavailable)
    def unavailable(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s: %s", request.method, request.url.path, error)
        message = f"{error}. /health says more. The next look at the project finds what changed"
        return JSONResponse({"detail": message}, status_code=503)

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.Error)
    def storage(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s: %s", request.method, request.url.path, explain(error))
        message = "Lineup cannot use its MODEL_DIR; /health says why. The next look at the project finds what changed"
        return JSONResponse({"detail": message}, status_code=503)
