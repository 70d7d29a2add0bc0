"""The command line: `lineup ...`."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.console import Console

from backend.doctor.command import doctor
from backend.jobs.base import QueueUnavailable
from backend.jobs.open import distributed, living_workers, open_hints, open_queue, project_claim
from backend.logs import configure
from backend.project import Project, open_registry, pin, project_status, project_turn
from backend.registry import UNTRAINED, VersionNotFound
from backend.settings import Settings, get_settings
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT
from backend.status import Status
from backend.storage import find_problem
from backend.tables import status_table, versions_table

app = typer.Typer(
    name="lineup",
    help="""Put the right task in front of the annotator: an ML backend for Label Studio.

    A first session:

      lineup serve                    start the server and its worker

      lineup connect --project 7      connect project 7: backend, webhook, tabs, order

      lineup doctor                   what is not well, and how to mend it

      lineup status                   what was learned, what is running, what failed

      lineup export --project 7 --format jsonl --out labels.jsonl

    Settings are environment variables, or lines of a .env file. LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY
    come first.

    Exit codes: 0 done, 1 it failed, 2 wrong usage or settings.""",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
log = logging.getLogger(__name__)
console = Console()
errors = Console(stderr=True)

ProjectOption = Annotated[int, typer.Option("--project", "-p", min=1, help="Id of the Label Studio project.")]
OneProject = Annotated[int | None, typer.Option("--project", "-p", min=1, help="Only this project.")]


class Failure(Exception):
    """Something a person has to act on; shown without a traceback."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def _settings() -> Settings:
    try:
        settings = get_settings()
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, item['loc'])).upper() or 'settings'}: {item['msg']}"
            for item in error.errors()
        ]
        raise Failure("a setting is wrong:\n  " + "\n  ".join(lines), 2) from None
    share(settings)  # what an object store needs is told before anything starts
    return settings


def _with_label_studio() -> Settings:
    settings = _settings()
    given = {"LABEL_STUDIO_URL": settings.label_studio_url, "LABEL_STUDIO_API_KEY": settings.api_key}
    missing = " and ".join(name for name, value in given.items() if not value)
    if missing:
        raise Failure(
            f"{missing} must be set. The key is a personal access token: in Label Studio click your picture, "
            "Account & Settings, Personal Access Token.",
            2,
        )
    return settings


@contextmanager
def _clear_errors() -> Iterator[None]:
    from backend.labelstudio.config import UnsupportedConfig
    from backend.labelstudio.errors import LabelStudioError

    code = 1
    try:
        yield
        return
    except Failure as error:
        message, code = str(error), error.code
    except (LabelStudioError, UnsupportedConfig, VersionNotFound, QueueUnavailable) as error:
        message = str(error)
    except (OSError, ValueError, LookupError) as error:
        message = str(error)
    errors.print(f"[bold red]lineup:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def _require_known(settings: Settings, project_id: int) -> None:
    projects = Project.known(settings)
    if project_id in projects or (settings.project_dir(project_id) / SNAPSHOT).exists():
        return
    known = ", ".join(map(str, projects)) or "none"
    raise Failure(
        f"project {project_id} is not known in MODEL_DIR={settings.model_name} (known: {known}). "
        f"Connect it: lineup connect --project {project_id}"
    )


@app.command()
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
    with _clear_errors():
        settings = _with_label_studio()
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


@app.command()
def connect(project: ProjectOption) -> None:
    """Connect a project: register the backend, send events with credentials, order the queue.

    Needs a running `lineup serve` that Label Studio reaches at LINEUP_URL. Doing it again is harmless.

    Example: `lineup connect --project 7`
    """
    with _clear_errors():
        settings = _with_label_studio()
        from backend.connect import connect as connect_project

        with console.status("connecting"):
            done = connect_project(settings, project)
        console.print(f"Project {done.project_id} [bold]{done.title}[/] is connected ({done.kind}).")
        console.print(f"backend {done.backend_url}, webhook {done.webhook_url}", highlight=False)
        _warn_without_worker(settings)
        console.print(f"Watch the first refresh: [bold]lineup refresh --project {project} --wait[/]")


app.command()(doctor)


@app.command()
def refresh(
    project: ProjectOption,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it has ended and show what it did.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read every task anew, and images that were not measured yet.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="With --wait: give up after this many seconds.")
    ] = 3600.0,
) -> None:
    """Ask the worker to look at a project now.

    Example: `lineup refresh --project 7 --wait`
    """
    with _clear_errors():
        settings = _settings()
        _require_known(settings, project)
        hints = open_hints(settings)
        hints.add(project, "full" if full else "cli")
        if not wait:
            _warn_without_worker(settings)
            console.print(f"Asked for a refresh of project {project}.")
            return
        if not living_workers(settings):
            raise Failure(f"{_no_worker(settings)}; start one: {_start_worker(settings)}")
        status = _follow(settings, project, hints.take(project), time.monotonic() + timeout)
        console.print(status_table(settings, [project]))
        if status.last_error:
            raise Failure(f"the refresh failed: {status.last_error.message}")


def _follow(settings: Settings, project_id: int, upto: int, deadline: float) -> Status:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("waiting", total=None)
        while time.monotonic() < deadline:
            status = project_status(settings, project_id)
            if status.state == "idle" and status.last_refresh and status.last_refresh.upto >= upto:
                return status
            if status.state == "failed" and status.last_error and status.last_error.upto >= upto:
                return status
            if status.state == "running":
                bar.update(
                    task,
                    description=status.step or "starting",
                    completed=status.done,
                    total=status.total or None,
                )
            if not living_workers(settings):
                raise Failure("the worker is gone; see its log. The request stays for the next one")
            time.sleep(0.2)
    raise Failure(f"project {project_id} is still not refreshed; it goes on, see: lineup status")


def _warn_without_worker(settings: Settings) -> None:
    if not living_workers(settings):
        errors.print(
            f"[yellow]{_no_worker(settings)}.[/] Start it: [bold]{_start_worker(settings)}[/]",
            soft_wrap=True,
        )


def _no_worker(settings: Settings) -> str:
    if distributed(settings):
        return "No worker takes jobs from REDIS_URL"
    return f"No worker runs on MODEL_DIR={settings.model_name}"


def _start_worker(settings: Settings) -> str:
    return "lineup worker" if distributed(settings) else "lineup serve"


@app.command()
def status(project: OneProject = None) -> None:
    """Show version, labels, accuracy, suspects, step times, what is running and the last error.

    Example: `lineup status --project 7`
    """
    with _clear_errors():
        settings = _settings()
        if project is not None:
            _require_known(settings, project)
        projects = Project.known(settings) if project is None else [project]
        console.print(_workers(settings), highlight=False)
        if problem := find_problem(settings.model_dir):
            console.print(
                f"[bold red]{problem}[/]: {settings.model_dir.resolve()}", highlight=False, soft_wrap=True
            )
        shared = share(settings)
        if shared and shared.bucket.problem:
            errors.print(f"[bold red]{shared.bucket.problem}[/]", highlight=False, soft_wrap=True)
        if not projects:
            console.print("No project is connected yet. Connect one: lineup connect --project ID")
            return
        console.print(status_table(settings, projects))


def _workers(settings: Settings) -> str:
    if not distributed(settings):
        return f"worker: {'running' if living_workers(settings) else 'not running'}"
    try:
        found = living_workers(settings)
    except QueueUnavailable as error:  # what stands in MODEL_DIR can be shown all the same
        return f"workers: unknown. {error}"
    return f"workers: {len(found)}" + (f" ({', '.join(found)})" if found else "; start one: lineup worker")


@app.command()
def versions(project: ProjectOption) -> None:
    """List the stored versions of a project's model, the served one marked.

    Example: `lineup versions --project 7`
    """
    with _clear_errors():
        settings = _settings()
        _require_known(settings, project)
        console.print(versions_table(open_registry(settings, project)))


@app.command()
def rollback(
    project: ProjectOption,
    version: Annotated[
        str | None,
        typer.Argument(help="Id from `lineup versions`; without it, the one before the served one."),
    ] = None,
) -> None:
    """Serve an older version again; new labels lead to a new version as ever.

    Example: `lineup rollback --project 7 choices-3-0a1b2c3d`
    """
    with _clear_errors():
        settings = _settings()
        _require_known(settings, project)
        registry = open_registry(settings, project)
        served, stored = registry.published() or UNTRAINED, registry.ids()
        if version is None:
            before = stored[: stored.index(served)] if served in stored else []
            if not before:
                raise Failure(f"no version before {served}; see: lineup versions --project {project}")
            version = before[-1]
        with project_claim(settings, project) as held:
            if not held:
                raise Failure(f"project {project} is being refreshed; try again in a moment")
            with project_turn(settings, project):
                registry.publish(version)
                pin(settings, project)
        open_hints(settings).add(project, "rollback")
        console.print(f"Project {project} serves [bold]{version}[/] (before: {served}).", highlight=False)
        _warn_without_worker(settings)


@app.command()
def export(
    project: ProjectOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, or folder for `folders`.")],
    format: Annotated[
        Literal["jsonl", "csv", "json", "folders"], typer.Option("--format", "-f", help="Format.")
    ] = "jsonl",
    drop_suspects: Annotated[
        bool, typer.Option("--drop-suspects", help="Leave out labels that are suspect and not reviewed.")
    ] = False,
    apply_suggestions: Annotated[
        float | None,
        typer.Option(
            "--apply-suggestions",
            min=0,
            max=1,
            metavar="MIN_CONFIDENCE",
            help="Replace a suspect label by the suggestion where the model is at least this confident.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Write the corrected labels, one row a labelled task.

    Example: `lineup export --project 7 --format csv --out labels.csv --drop-suspects`
    """
    with _clear_errors():
        settings = _with_label_studio()
        from backend.export import export_project

        with console.status("exporting"):
            done = export_project(
                settings,
                project,
                format,
                out,
                drop_suspects=drop_suspects,
                apply_suggestions=apply_suggestions,
                force=force,
            )
        counts = ", ".join(f"{count} {status}" for status, count in sorted(done.statuses.items()))
        console.print(
            f"Wrote {done.rows} rows to {out}" + (f" ({counts})" if counts else ""), highlight=False
        )
        if drop_suspects or apply_suggestions is not None:
            console.print(f"suspects dropped: {done.dropped}, suggestions applied: {done.applied}")
        for line in done.left_out:
            errors.print(f"[yellow]not exported:[/] {line}", highlight=False, soft_wrap=True)


@app.command()
def worker(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            "-q",
            help="With REDIS_URL: take only this sort of work (`refresh`, `embed`); repeatable.",
        ),
    ] = None,
) -> None:
    """Run a worker alone, until Ctrl-C or SIGTERM: any number, on any machines.

    With REDIS_URL it takes jobs from there; all workers and servers share one MODEL_DIR, in an object store or a folder
    that all see. Without it, it is a worker beside a server of another kind (`backend.sdk`) on the same machine.

    Example: `REDIS_URL=redis://:password@redis:6379/0 lineup worker --queue refresh`
    """
    with _clear_errors():
        settings = _with_label_studio()
        if queue:
            _check_queues(settings, queue)
        from backend.jobs.worker import work

        configure(settings, "worker")
        work(settings, None, queue or ())


def _check_queues(settings: Settings, queues: list[str]) -> None:
    if not distributed(settings):
        raise Failure("--queue needs REDIS_URL: without it one worker does all", 2)
    from backend.jobs.distributed.jobs import QUEUES

    unknown = sorted(set(queues) - set(QUEUES))
    if unknown:
        raise Failure(f"no queue {', '.join(unknown)}; there is: {', '.join(QUEUES)}", 2)


if __name__ == "__main__":
    app()
