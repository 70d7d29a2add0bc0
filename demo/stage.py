"""The demo's stage: both servers, the project, and what is kept between two starts."""

from __future__ import annotations

import fcntl
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from backend.status import LastRefresh
from demo.annotator import Annotator, Reviewer
from demo.label_studio import Account, LabelStudioFailed, LabelStudioServer
from demo.lineup import LineupServer
from demo.subject import Learned, Subject

LABEL_STUDIO_PORT = 8080
LINEUP_PORT = 9090
IMPORT_BATCH = 200


class AlreadyRunning(RuntimeError):
    """Another demo uses the same folder."""


@dataclass
class State:
    """What a second start needs of the first.

    Attributes
    ----------
    token : str
        Label Studio token of the first user.
    secret : str
        Secret of the webhook.
    projects : dict of str to int
        The demo's project of each subject.
    """

    token: str
    secret: str
    projects: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        """Return what is kept, or make it up."""
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if "project" in kept:  # of a demo that knew one subject
                kept["projects"] = {"digits": kept.pop("project")}
            return cls(**kept)
        return cls(secrets.token_hex(20), secrets.token_hex(20))

    def save(self, path: Path) -> None:
        """Keep it, readable by its owner only: it has a token."""
        draft = path.with_suffix(".tmp")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(path)


@contextmanager
def bar(console: Console, text: str, total: int | None = None) -> Iterator[Any]:
    """Show a progress bar; gives ``update(description=..., completed=..., total=...)``."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=total)

        def update(**fields: Any) -> None:
            progress.update(task, **fields)

        yield update
        shown = progress.tasks[0].total or 1
        progress.update(task, description=text, completed=shown, total=shown)


class Stage:
    """Both servers and a subject, in a folder of their own.

    Parameters
    ----------
    folder : Path
        Everything the demo writes is below it.
    console : Console
    subject : Subject
    """

    def __init__(self, folder: Path, console: Console, subject: Subject) -> None:
        self.folder = folder.resolve()
        self.console = console
        self.subject = subject
        self.project = 0
        self._open = ExitStack()

    @property
    def model_dir(self) -> Path:
        """Lineup's folder."""
        return self.folder / "models"

    def __enter__(self) -> Stage:
        try:
            self._prepare()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._open.enter_context((self.folder / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"a demo is already running on {self.folder}; end it with Ctrl-C first"
            ) from None
        self.state = State.load(self.folder / "state.json")
        self.state.save(self.folder / "state.json")
        with bar(self.console, "Label Studio starts"):
            self.label_studio = LabelStudioServer(
                self.folder / "label-studio", port=LABEL_STUDIO_PORT, token=self.state.token
            ).start()
        self._open.callback(self.label_studio.stop)
        self._say_port("Label Studio", LABEL_STUDIO_PORT, self.label_studio.port)
        self.lineup = LineupServer(
            self.label_studio, self.model_dir, port=LINEUP_PORT, webhook_secret=self.state.secret
        )
        with bar(self.console, "Lineup starts"):
            self.lineup.start()
        self._open.callback(self.lineup.stop)
        self._say_port("Lineup", LINEUP_PORT, self.lineup.port)

    def _say_port(self, name: str, wanted: int, got: int) -> None:
        if got != wanted:
            self.console.print(f"[yellow]Port {wanted} is taken: {name} is on port {got}.[/]")

    # the project -----------------------------------------------------------------------------------
    def open_project(self) -> bool:
        """Use the project of the last start, or make one; return whether it is new."""
        known = self.state.projects.get(self.subject.name, 0)
        if known and self._exists(known):
            self.project = known
            return False
        self.project = self.state.projects[self.subject.name] = self.create_project(self.subject.title)
        self.state.save(self.folder / "state.json")
        return True

    @property
    def files(self) -> Path:
        """Where the images are."""
        return self.label_studio.files_dir / self.subject.name

    def create_project(self, title: str) -> int:
        """Make a project of all images, some of them labelled."""
        files, subject = self.files, self.subject
        with bar(self.console, "images are drawn", subject.images) as update:
            paths = subject.render(files, lambda done, total: update(completed=done))
        project = self.label_studio.create_project(
            title, subject.label_config, description=f"{len(paths)} images", show_collab_predictions=True
        )
        self.label_studio.serve_folder(project, files)
        careless = self.person("ann@example.com")
        tasks: list[dict[str, Any]] = []
        for index, path in enumerate(paths):
            task: dict[str, Any] = {"data": {"image": self.label_studio.file_uri(path)}}
            if index in subject.given:
                result = subject.write(subject.given[index])
                task["annotations"] = [{"result": result, "completed_by": careless.id}]
            tasks.append(task)
        with bar(self.console, "tasks are imported", len(tasks)) as update:
            for start in range(0, len(tasks), IMPORT_BATCH):
                self.label_studio.import_tasks(project, tasks[start : start + IMPORT_BATCH])
                update(completed=min(start + IMPORT_BATCH, len(tasks)))
        return project

    def person(self, email: str) -> Account:
        """Return an annotator with an account."""
        return self.label_studio.user(email)

    def connect(self) -> LastRefresh:
        """Connect Lineup to the project and wait for the refresh that follows."""
        start = time.time()
        self.lineup.connect(self.project)
        return self.catch_up("Lineup looks at the project", since=start)

    def catch_up(self, text: str, *, labels: int | None = None, since: float | None = None) -> LastRefresh:
        """Wait until Lineup has seen everything, showing what it does."""
        with bar(self.console, text) as update:
            return self.lineup.wait(
                self.project,
                labels=labels,
                since=since,
                progress=lambda step, done, total: update(
                    description=f"{text}: {step}", completed=done, total=total or None
                ),
            )

    def _exists(self, project: int) -> bool:
        try:
            self.label_studio.api("GET", f"/api/projects/{project}")
        except LabelStudioFailed as error:
            if error.status == 404:
                return False
            raise
        return True

    def index(self, task: dict[str, Any]) -> int:
        """Return the number of a task's image."""
        return int(Path(str(task["data"]["image"]).rsplit("=", 1)[-1]).stem)

    def truth(self, task: dict[str, Any]) -> Any:
        """Return the right label of a task."""
        return self.subject.truth(self.index(task))

    def learned(self) -> Learned:
        """Return what Lineup serves."""
        registry = self.lineup.registry(self.project)
        return Learned(registry.load(registry.published() or ""), self.model_dir)

    def annotator(self, email: str) -> Annotator:
        """Return somebody who answers what Label Studio serves."""
        subject = self.subject
        account = self.person(email)
        return Annotator(
            self.label_studio,
            self.project,
            self.truth,
            account,
            subject.write,
            subject.read,
            subject.agreement,
        )

    def reviewer(self, email: str = "") -> Reviewer:
        """Return somebody who works through a tab; without an address it is the first user."""
        subject, account = self.subject, self.person(email) if email else None
        return Reviewer(self.label_studio, self.project, self.truth, account, subject.write, subject.read)

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks with their raw data and annotations."""
        tasks: list[dict[str, Any]] = []
        while True:
            params = {"project": self.project, "fields": "all", "resolve_uri": "false", "page_size": 500}
            answer = self.label_studio.api(
                "GET", "/api/tasks", params={**params, "page": len(tasks) // 500 + 1}
            )
            tasks += answer["tasks"]
            if len(tasks) >= answer["total"]:
                return tasks
