"""Whether people are working on a project right now."""

from __future__ import annotations

import time

from backend.labelstudio.reader import parse_time
from backend.snapshot import Snapshot, SnapshotStore


def note_activity(store: SnapshotStore, snapshot: Snapshot, *, submitting: bool) -> None:
    """Remember when a newer annotation was last seen.

    The moment is taken from this machine's clock, so that a Label Studio whose clock is off does not count as idle.
    Annotations that are there at the first look were most likely imported: they count only if ``submitting``.

    Parameters
    ----------
    submitting : bool
        Whether an annotation event asked for this refresh.
    """
    stamps = [a.updated_at for task in snapshot.tasks.values() for a in task.annotations]
    if not stamps:
        return
    newest = max(stamps, key=parse_time)
    known = store.get_meta("activity")
    if known is None:
        store.set_meta("activity", {"newest": newest, "seen_at": time.time() if submitting else 0.0})
    elif parse_time(newest) > parse_time(known["newest"]):
        store.set_meta("activity", {"newest": newest, "seen_at": time.time()})


def is_idle(store: SnapshotStore, idle_after: float) -> bool:
    """Tell whether no annotation was submitted or changed in the last ``idle_after`` seconds."""
    known = store.get_meta("activity")
    return known is None or time.time() - known["seen_at"] >= idle_after
