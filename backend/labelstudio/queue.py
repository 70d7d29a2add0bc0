"""The order people see: two tabs and the Label All Tasks stream, never written over a person's own choice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError, LabelStudioUnreachable
from backend.labelstudio.reader import parse_time, read_creation_range, read_project
from backend.labelstudio.tabs import TABS, is_ours, patched, significant, up_to_date, wanted_tab
from backend.registry import is_version

log = logging.getLogger(__name__)

UNCERTAINTY = "Uncertainty sampling"


@dataclass
class TabState:
    """What Lineup last wrote to one tab; ``theirs`` once a person changed or deleted it."""

    view: int | None = None
    written: dict[str, Any] = field(default_factory=dict)
    theirs: bool = False


@dataclass
class QueueState:
    """What Lineup last wrote to a project's queue; JSON-able.

    Attributes
    ----------
    tabs : dict of str to TabState
        By the tab's key: ``label_next``, ``review_suspects``.
    newest_task : str
        When the newest task was created, as of the last look; tells deleted tabs from deleted tasks (ids do not:
        Label Studio on SQLite gives the ids of deleted tasks to new ones).
    sampling, model_version : str or None
        Last written values; None: never written.
    intended : str or None
        The model version about to be written; heals a crash between the write and its record.
    sampling_theirs, model_version_theirs : bool
        A person changed it afterwards: it is left alone.
    """

    tabs: dict[str, TabState] = field(default_factory=dict)
    newest_task: str = ""
    sampling: str | None = None
    model_version: str | None = None
    intended: str | None = None
    sampling_theirs: bool = False
    model_version_theirs: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any] | None) -> Self:
        """Return the state that `to_json` gave; an empty one for None."""
        values = dict(raw or {})
        tabs = {key: TabState(**tab) for key, tab in values.pop("tabs", {}).items()}
        return cls(tabs=tabs, **values)


def ensure_tabs(
    client: LabelStudioClient,
    project_id: int,
    prefix: str,
    threshold: float,
    known: QueueState,
    *,
    adopt: bool = False,
    unsure: bool = False,
) -> QueueState:
    """Create the tabs *Label next* and *Review suspects* and keep them up to date.

    A tab whose order, filters or title a person changed, or that a person deleted, is theirs from then on. What
    else they set in it (hidden columns, widths) is kept always.

    Parameters
    ----------
    prefix : str
        Prefix of Lineup's task fields.
    threshold : float
        Suspicion from which a task is shown in *Review suspects*.
    known : QueueState
        What was written before; not modified.
    adopt : bool
        Take the tabs back from whoever changed them.
    unsure : bool
        ``known`` may be older than Lineup's last write: other filters in a tab of Lineup's are its own.

    Returns
    -------
    QueueState
        To be kept and passed to the next call.
    """
    views = {view["id"]: view for view in client.get("/api/dm/views/", {"project": project_id})}
    tabs: dict[str, TabState] = {}
    created = read_creation_range(client, project_id)
    for spec in TABS:
        state = known.tabs.get(spec.key, TabState())
        if adopt:
            state = replace(state, theirs=False)
        if state.theirs:
            tabs[spec.key] = state
            continue
        view = views.get(state.view) if state.view is not None else None
        if view is None and state.view is not None and not adopt:
            if not _tasks_were_replaced(created, known):
                log.info("project %d: someone deleted tab %r; it stays deleted", project_id, spec.title)
                tabs[spec.key] = replace(state, theirs=True)
                continue
            log.info("project %d: tab %r went with the tasks; it is created again", project_id, spec.title)
        if view is None:
            view = next((v for v in views.values() if is_ours(v["data"], spec, prefix)), None)
        elif (
            not adopt
            and significant(view["data"]) != state.written
            and not (unsure and is_ours(view["data"], spec, prefix))
        ):
            log.info("project %d: someone changed tab %r; it is left alone", project_id, spec.title)
            tabs[spec.key] = replace(state, theirs=True)
            continue
        wanted = wanted_tab(spec, prefix, threshold)
        if view is None:
            view = client.post("/api/dm/views/", {"project": project_id, "data": wanted})
        elif not up_to_date(view["data"], wanted):
            data = patched(view["data"], wanted)
            view = client.patch(f"/api/dm/views/{view['id']}/", {"project": project_id, "data": data})
        tabs[spec.key] = TabState(view=view["id"], written=significant(view["data"]))
    return replace(known, tabs=tabs, newest_task=created[1] if created else known.newest_task)


def _tasks_were_replaced(created: tuple[str, str] | None, known: QueueState) -> bool:
    """Tell whether no task of the last look is left: then Label Studio has deleted all tabs with them."""
    return created is None or not known.newest_task or parse_time(created[0]) > parse_time(known.newest_task)


def switch_stream(
    client: LabelStudioClient,
    project_id: int,
    version: str,
    known: QueueState,
    *,
    adopt: bool = False,
    unsure: bool = False,
    save: Callable[[QueueState], None] | None = None,
) -> QueueState:
    """Make Label All Tasks serve by the scores of ``version``, lowest first, with task locks.

    Sampling or version changed by a person after Lineup's last write is left alone.

    Parameters
    ----------
    version : str
        A model version that has predictions in the project.
    known : QueueState
        What was written before; not modified.
    adopt : bool
        Take sampling and version back from whoever changed them.
    unsure : bool
        ``known`` may be older than Lineup's last write: a version of Lineup's that stands there is its own choice.
    save : callable, optional
        Told the state with the intended version before it is written, so that a crash in between is not
        mistaken for a person's choice.

    Returns
    -------
    QueueState
        To be kept and passed to the next call.

    Raises
    ------
    LabelStudioError
        If the version has no predictions in the project (status 400).
    """
    info = read_project(client, project_id)
    state = replace(known)
    if info.model_version == "":  # what a person chose has been deleted: their choice went with it
        state.model_version_theirs = False
    if adopt:
        state.sampling_theirs = state.model_version_theirs = False
        state.sampling = state.model_version = state.intended = None
    if not state.sampling_theirs and state.sampling not in (None, info.sampling):
        log.info("project %d: someone set sampling to %r; it is left alone", project_id, info.sampling)
        state.sampling_theirs = True
    # Label Studio itself empties the version when its predictions are deleted: nobody's choice
    ours = {state.model_version, state.intended, version, ""}
    written = state.model_version is not None or state.intended is not None
    theirs = info.model_version not in ours and not (unsure and is_version(info.model_version))
    if written and not state.model_version_theirs and theirs:
        log.info("project %d: someone chose model version %r; it stays", project_id, info.model_version)
        state.model_version_theirs = True
    changes: dict[str, str] = {}
    if not state.sampling_theirs:
        state.sampling = UNCERTAINTY
        if info.sampling != UNCERTAINTY:
            changes["sampling"] = UNCERTAINTY
    if not state.model_version_theirs and info.model_version != version:
        changes["model_version"] = version
    if changes:
        if "model_version" in changes and save is not None:
            save(replace(state, intended=version))
        _patch(client, project_id, changes)
    if not state.model_version_theirs:
        state.model_version, state.intended = version, None
    return state


def _patch(client: LabelStudioClient, project_id: int, changes: dict[str, str]) -> None:
    path = f"/api/projects/{project_id}/"
    try:
        answer = client.patch(path, changes)
    except LabelStudioError as error:
        if error.status == 400 and "model_version" in changes:
            version = changes["model_version"]
            hint = f"The project has no predictions of version {version!r}: post them before the switch"
            raise LabelStudioError(400, error.method, error.path, error.message, hint) from error
        raise
    # believed without proof, the old value would pass for a person's choice ever after
    if not isinstance(answer, dict) or any(answer.get(name) != value for name, value in changes.items()):
        hint = "Something between Lineup and Label Studio answers in its place"
        raise LabelStudioUnreachable(200, "PATCH", path, f"it did not say that {changes} is set", hint)
