"""Do all checks in their order; one that fails keeps those that need it from being done, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from backend.doctor.checks import CHECKS, Check
from backend.doctor.context import Context, Installation
from backend.doctor.outcome import Outcome, failure, skipped
from backend.labelstudio.errors import LabelStudioError
from backend.project import Project


@dataclass(frozen=True)
class Finding:
    """What one check found, for one project or (None) for all."""

    check: str
    project: int | None
    outcome: Outcome


def examine(project: int | None) -> Iterator[Finding]:
    """Do all checks, of one project or of all connected ones, and yield what each found."""
    installation = Installation()
    projects = _projects(installation, project)
    failed: set[tuple[str, int | None]] = set()
    common = Context(installation, projects[0] if projects else None)
    each = {number: Context(installation, number) for number in projects}
    for check in CHECKS:
        if not check.each_project:
            yield _finding(check, None, common, failed)
        elif not each:
            yield Finding(check.name, None, skipped("no project is connected", "lineup doctor --project ID"))
        for number, context in each.items() if check.each_project else ():
            yield _finding(check, number, context, failed)


def _projects(installation: Installation, project: int | None) -> Sequence[int]:
    if project is not None:
        return [project]
    try:
        return Project.known(installation.settings)
    except (ValidationError, OSError):  # the checks of the settings and of the disk say so
        return []


def _finding(
    check: Check, project: int | None, context: Context, failed: set[tuple[str, int | None]]
) -> Finding:
    missing = [name for name in check.needs if failed & {(name, None), (name, project)}]
    if missing:
        outcome = skipped(f"needs {' and '.join(missing)}")
    else:
        try:
            outcome = check.look(context)
        except LabelStudioError as error:
            outcome = failure(
                f"Label Studio {'answered ' + str(error.status) if error.status else 'did not answer'} to "
                f"{error.method} {error.path}: {' '.join(error.message.split())}",
                error.hint or "See Label Studio's own log",
            )
        except Exception as error:  # the checks after this one are worth doing all the same
            outcome = failure(
                f"the check itself broke: {type(error).__name__}: {' '.join(str(error).split())}",
                "This is a fault in Lineup: please report it with this line",
            )
    if missing or outcome.level == "failure":
        failed.add((check.name, project))
    return Finding(check.name, project, outcome)
