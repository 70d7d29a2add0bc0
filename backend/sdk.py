"""Lineup as a model of Label Studio's own ML-backend SDK, for those who run its server.

A thin shell over what `backend.app` serves: predictions come from the published version below ``MODEL_DIR``, events
become hints. Learning is done by ``lineup worker`` (or ``lineup serve``) on the same ``MODEL_DIR``, in Lineup's own
environment, so this module imports nothing heavy and works beside the old pins of label-studio-ml 1.0.9.

Works under both generations of the SDK: 1.0.9 (``Lineup(label_config=, train_output=)``, ``fit((), event=, data=)``)
and 2.x (``Lineup(project_id=, label_config=)``, ``setup()``, ``fit(event, data)``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from backend.jobs.open import open_hints
from backend.predict import Predictor
from backend.protocol import EVENTS, UNKNOWN, parse_project
from backend.settings import get_settings

log = logging.getLogger(__name__)

ANNOUNCED_FILE = "sdk_version"


def _hint(project_id: int, reason: str) -> None:
    # opened anew each time: the 1.0.9 server forks a process for every event
    store = open_hints(get_settings())
    try:
        store.add(project_id, reason)
    finally:
        store.close()


@lru_cache(maxsize=1)
def _predictor() -> Predictor:
    return Predictor(get_settings(), _hint)


class Lineup(LabelStudioMLBase):
    """The model class to hand to the SDK's server."""

    TRAIN_EVENTS = tuple(sorted(EVENTS))

    def setup(self) -> None:
        """Adopt the project and tell the 2.x server which version is served."""
        project_id = _project(getattr(self, "project_id", None))
        if project_id is None:
            return
        version = _predictor().version(project_id)
        if str(self.get("model_version")) != version:
            _hint(project_id, "setup")
            self.set("model_version", version)

    def predict(
        self, tasks: Sequence[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Predict tasks: one result a task, in order, under the version the server names in ``/setup``."""
        project_id = _project(getattr(self, "project_id", None)) or _project(
            tasks[0].get("project") if tasks else None
        )
        if project_id is None:
            if tasks:
                log.error("no prediction: neither the request nor its first task names a project")
            return [{"result": [], "score": 0.0} for _ in tasks]
        results = _predictor().predict(project_id, tasks, self.label_config)
        if not hasattr(self, "set"):
            # the 1.0.9 server names its last training job, and a prediction under another name is asked for again
            version = str((self.train_output or {}).get("job_id", "INITIAL"))
            results = [{**result, "model_version": version} for result in results]
        return results

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Pass an event on to the worker.

        Parameters
        ----------
        *args
            ``(event, data)`` in 2.x, ``((),)`` in 1.0.9, which names them.

        Returns
        -------
        dict or None
            What a 1.0.9 server keeps as the outcome of a training job, hence a new model version; None where Lineup
            serves what it served before, so that tasks are not predicted anew for nothing.
        """
        named = dict(zip(("event", "data"), args, strict=False)) if len(args) > 1 else {}
        event, data = {**named, **kwargs}.get("event"), {**named, **kwargs}.get("data") or {}
        project_id = _project(data.get("project"))
        if project_id is None:
            log.warning("event %s names no project; the worker's next look finds what changed", event)
            return None
        _hint(project_id, event if event in EVENTS else UNKNOWN)
        version = _predictor().version(project_id)
        return {"lineup_version": version} if _announce(project_id, version) else None


def _announce(project_id: int, version: str) -> bool:
    """Remember the version told to the 1.0.9 server last; return whether this one is news."""
    path = get_settings().project_dir(project_id) / ANNOUNCED_FILE
    if path.exists() and path.read_text(encoding="utf-8") == version:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(version, encoding="utf-8")
    return True


def _project(value: Any) -> int | None:
    try:
        return int(parse_project(value))
    except ValueError:
        return None
