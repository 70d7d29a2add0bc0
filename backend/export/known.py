"""What an export needs besides the tasks: what Lineup remembers of their labels, and who people are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from backend.labelstudio.errors import LabelStudioError
from backend.project import THRESHOLD
from backend.settings import Settings
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT, History, Judged, SnapshotStore

log = logging.getLogger(__name__)

TIMEOUT = 60.0


@dataclass(frozen=True)
class Known:
    """What is known of a project.

    Attributes
    ----------
    histories, judged : mapping of task id to History, and to Judged
    emails : mapping of user id to e-mail address
    threshold : float
        Suspicion from which a label is suspect.
    """

    histories: Mapping[int, History]
    judged: Mapping[int, Judged]
    emails: Mapping[int, str]
    threshold: float


def read_known(settings: Settings, project_id: int) -> Known:
    """Return what is known of a project.

    Raises
    ------
    LabelStudioError
        If Label Studio refuses to tell its users.
    """
    if shared := share(settings):
        shared.project(project_id).turns.freshen(strict=True)
    path = settings.project_dir(project_id) / SNAPSHOT
    store = SnapshotStore(path) if path.exists() else None
    histories = store.histories() if store else {}
    threshold = store.get_meta(THRESHOLD) if store else None
    if not histories:
        log.warning("project %d: Lineup knows no history of its labels; all count as kept", project_id)
    # without a threshold no label was ever judged
    return Known(
        histories,
        store.judged() if store else {},
        _emails(settings),
        1.0 if threshold is None else threshold,
    )


def _emails(settings: Settings) -> dict[int, str]:
    sdk = LabelStudio(base_url=settings.label_studio_url, api_key=settings.api_key, timeout=TIMEOUT)
    try:
        return {user.id: user.email for user in sdk.users.list() if user.id and user.email}
    except ApiError as error:
        raise LabelStudioError(error.status_code or 0, "GET", "/api/users/", str(error.body)[:500]) from error
