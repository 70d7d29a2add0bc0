"""What is needed of images the worker has not met yet, made in a process of its own.

Importing torch holds the interpreter's lock for seconds; the server must answer ``/health`` meanwhile.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from backend.jobs.lifeline import die_with, ignore_interrupt
from backend.logs import configure
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.refresh import Refresher

log = logging.getLogger(__name__)

BATCH = 64


class Newcomers:
    """Fetches and embeds images on demand.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def embed(
        self,
        project_id: int,
        images: Sequence[tuple[int, str]],
        fingerprint: str,
        deadline: float,
        backbone: str | None = None,
        *,
        kind: str = "choices",
    ) -> dict[str, str | None]:
        """Embed images that have no vector yet, and read what else the course of their kind needs.

        Parameters
        ----------
        images : sequence of (task id, URI)
        fingerprint : str
            Of what the published head was learned on; another embedder's vectors would be of no use.
        deadline : float
            By ``time.monotonic()``; what is not done by then is left out.
        backbone : str or None
            The project's own that the published head was learned on; None: the settings'.
        kind : str
            Of the published version.

        Returns
        -------
        dict of URI to str or None
            None: it can be predicted now; else why not.
        """
        outcome: dict[str, str | None] = {}
        for start in range(0, len(images), BATCH):
            batch = list(images[start : start + BATCH])
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                work = self._workers().submit(
                    _embed, self.settings, project_id, batch, fingerprint, backbone, kind
                )
                outcome |= work.result(left)
            except TimeoutError:
                break
            except BrokenProcessPool:
                log.error("the process that embeds new images died; a new one is started at the next request")
                self.close()
                break
            except Exception as error:
                log.error("project %d: new images cannot be embedded here: %s", project_id, error)
                break
        return outcome

    def close(self) -> None:
        """End the process."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _workers(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    1,
                    multiprocessing.get_context("spawn"),
                    initializer=_begin,
                    initargs=(os.getpid(), self.settings),
                )
            return self._pool


class _Child:
    """What the child process keeps between batches."""

    refresher: Refresher | None = None


def _begin(parent: int, settings: Settings) -> None:
    configure(settings, "images")
    ignore_interrupt()
    die_with(parent, lambda: os._exit(0))


def _embed(
    settings: Settings,
    project_id: int,
    images: Sequence[tuple[int, str]],
    fingerprint: str,
    backbone: str | None,
    kind: str,
) -> dict[str, str | None]:
    """Embed one batch; runs in the child."""
    from backend.courses import Scene
    from backend.embedding import EmbeddingRoom
    from backend.refresh import Refresher
    from backend.snapshot import SNAPSHOT, SnapshotStore

    if _Child.refresher is None or _Child.refresher.settings != settings:
        _Child.refresher = Refresher(settings)
    course = _Child.refresher.course(kind)
    parts = _Child.refresher.parts(project_id, course.embeds_with(backbone))
    if (now := course.fingerprint(parts)) != fingerprint:
        why = f"the embedder is now {now}, the served version knows {fingerprint}"
        return dict.fromkeys((uri for _, uri in images), why)
    store = SnapshotStore(settings.project_dir(project_id) / SNAPSHOT)
    room = EmbeddingRoom(store, parts.vectors, parts.stage)
    task_ids, uris = [task_id for task_id, _ in images], [uri for _, uri in images]
    embedded = room.embed(project_id, task_ids, uris, _silent)
    folder = settings.project_dir(project_id)
    scene = Scene(project_id, folder, store, parts, backbone, task_ids, uris, embedded, _silent)
    missing = course.prepare(scene)
    errors = [
        error or missing.get(str(key)) for error, key in zip(embedded.errors, embedded.keys, strict=True)
    ]
    return dict(zip(uris, errors, strict=True))


def _silent(step: str, done: int, total: int) -> None:
    log.debug("new images: %s %d/%d", step, done, total)
