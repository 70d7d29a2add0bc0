"""Is the object store there that `MODEL_DIR` names?"""

from __future__ import annotations

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped, warning
from backend.jobs.open import distributed
from backend.shared.bucket import SharedFolderError
from backend.shared.folder import share

# seconds from which a refresh is noticeably slower for it: it makes about ten round trips
SLOW = 0.5


def check_shared(context: Context) -> Outcome:
    """Write, read, list and delete an object, and tell how long it takes."""
    settings = context.settings
    if not settings.model_url:
        return skipped("MODEL_DIR is a folder of this machine")
    try:
        shared = share(settings)
        assert shared is not None
        seconds = shared.round_trip()
    except SharedFolderError as error:
        said, _, fix = str(error).partition(". ")
        return failure(said, fix or "Install it where Lineup runs, and start Lineup again")
    line = f"MODEL_DIR={settings.model_url} can be read and written, {1000 * seconds:.0f} ms there and back"
    if not distributed(settings):
        return warning(
            f"{line}; without REDIS_URL only one Lineup may use it",
            "Set REDIS_URL before a second server or worker uses the same MODEL_DIR",
        )
    if seconds > SLOW:
        return warning(line, "Every refresh takes some seconds more: use a bucket that is nearer")
    return ok(line)
