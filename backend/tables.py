"""What `lineup status` and `lineup versions` print."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from backend.finetuning.record import TrainingRecord, read_training
from backend.project import open_registry, project_status
from backend.registry import UNTRAINED, VersionRegistry
from backend.settings import Settings
from backend.status import LastRefresh, Status


def status_table(settings: Settings, projects: Sequence[int]) -> Table:
    """Return one column a project, one row a fact."""
    table = Table("", *(f"project {project_id}" for project_id in projects))
    columns = [_facts(settings, project_id) for project_id in projects]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def versions_table(registry: VersionRegistry) -> Table:
    """Return one row a stored version, oldest first."""
    table = Table("version", "created", "labels", "accuracy", "embedder", "served")
    published = registry.published()
    for version_id in registry.ids():
        manifest = registry.manifest(version_id)
        table.add_row(
            version_id,
            str(manifest.get("created_at", "")),
            str(manifest.get("labels", "")),
            _share(manifest.get("accuracy")),
            str(manifest.get("embedder", "")),
            "served" if version_id == published else "",
        )
    return table


def _suspects(last: LastRefresh) -> str:
    if last.expected_wrong is None:
        return str(last.suspects)
    return f"{last.suspects}; about {last.expected_wrong:.0f} labels are expected to be wrong"


def _estimate(stop: dict[str, Any] | None) -> str:
    if stop is None:
        return "-"
    return f"{_share(stop['accuracy'])} ({100 * stop['low']:.1f} to {100 * stop['high']:.1f})"


def _gain(stop: dict[str, Any] | None) -> str:
    if stop is None or stop["gain"] is None:
        return "-"
    return f"about {100 * stop['gain']:+.1f} points of accuracy"


def _facts(settings: Settings, project_id: int) -> dict[str, str]:
    status = project_status(settings, project_id)
    last = status.last_refresh
    return {
        "version": open_registry(settings, project_id).published() or UNTRAINED,
        "labels used": f"{last.labels} of {last.tasks} tasks" if last else "-",
        "out-of-sample accuracy": _share(last.accuracy) if last else "-",
        "accuracy on all images": _estimate(last.stop) if last else "-",
        "next 100 labels": _gain(last.stop) if last else "-",
        "suspects": _suspects(last) if last else "-",
        "last refresh": _ago(last.finished_at) if last else "never",
        "step times": ", ".join(f"{step} {value:.1f} s" for step, value in last.seconds.items())
        if last
        else "-",
        "note": (last.note if last else None) or "-",
        "running": _running(status),
        "training": _training(read_training(settings, project_id, now=False)),
        "last error": f"{_ago(status.last_error.at)}: {status.last_error.message}"
        if status.last_error
        else "-",
    }


def _running(status: Status) -> str:
    if status.state != "running":
        return "-"
    count = f" {status.done}/{status.total}" if status.total else ""
    where = f" on {status.worker_host}, process {status.worker_pid}" if status.worker_host else ""
    return f"{status.step or 'starting'}{count}{where}"


def _training(record: TrainingRecord) -> str:
    if record.state == "none":
        return "-"
    if record.state == "running":
        count = f" {record.done}/{record.total}" if record.total else ""
        return f"{record.step or 'starting'}{count}, {record.worker}"
    when = record.finished_at or record.asked_at
    return (
        f"{record.state}, {_ago(when)}" + (f": {record.message}" if record.message else "")
        if when
        else record.state
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _ago(moment: float) -> str:
    seconds = max(0, int(time.time() - moment))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
