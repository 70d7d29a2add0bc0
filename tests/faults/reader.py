"""Somebody who asks `/setup` and `/predict` all the time, and remembers every answer."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from backend.registry import UNTRAINED
from demo.digits import LABEL_CONFIG
from demo.lineup import LineupServer
from tests.e2e.project import DigitsProject
from tests.faults.state import own

EVERY = 0.1
PATIENCE = 60.0
TASKS = 4


class Reader:
    """Asks from a thread of its own until its block ends, then every answer must have been a whole stored version's.

    A version is whole if the registry can load it, and if it says the same of the same images whenever it is asked. A
    server that is not there is nobody's fault, an error of one that is there is.
    """

    def __init__(self, project: DigitsProject, lineup: LineupServer) -> None:
        self.project = project
        self.lineup = lineup
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._said: dict[str, str] = {}
        created = project.server.api("GET", f"/api/projects/{project.id}")["created_at"]
        # as Label Studio names it: with the second it was created in
        self._name = f"{project.id}.{int(datetime.fromisoformat(created).timestamp())}"
        self._tasks = [{"id": task["id"], "data": own(task)} for task in project.tasks()[:TASKS]]
        self._loaded: set[str] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="reader")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if kind is None:
            self.assert_whole()

    def assert_whole(self) -> None:
        """Fail with everything that was answered wrongly so far."""
        assert not self.wrong, "\n".join(self.wrong[:20])
        assert self.answers.total() > 10, "hardly anything was asked"

    def wait_for_more(self, count: int) -> None:
        """Wait until it has had so many more answers."""
        enough = self.answers.total() + count
        deadline = time.monotonic() + PATIENCE
        while self.answers.total() < enough:
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(EVERY)

    def _ask(self) -> None:
        while not self._ending.wait(EVERY):
            try:
                self._setup()
                self._predict()
            except httpx.TransportError:  # killed, or not there yet
                time.sleep(EVERY)
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        answer = httpx.post(f"{self.lineup.url}{path}", json=body, timeout=30, trust_env=False)
        if answer.status_code != 200:
            self.wrong.append(f"{path} answered {answer.status_code}: {answer.text[:300]}")
            return None
        found: dict[str, Any] = answer.json()
        return found

    def _setup(self) -> None:
        found = self._post("/setup", {"project": self._name, "schema": LABEL_CONFIG})
        if found is not None:
            self._is_stored(found["model_version"])

    def _predict(self) -> None:
        body = {"tasks": self._tasks, "project": self._name, "label_config": LABEL_CONFIG}
        found = self._post("/predict", body)
        if found is None:
            return
        versions = {result["model_version"] for result in found["results"]}
        if len(versions) != 1 or len(found["results"]) != TASKS:
            self.wrong.append(f"one answer of {len(found['results'])} results is of {versions}")
            return
        version = versions.pop()
        self._is_stored(version)
        if version == UNTRAINED:
            return
        if not all(result["result"] for result in found["results"]):
            self.wrong.append(f"{version} had no prediction: {json.dumps(found['results'])[:300]}")
        said = json.dumps(found["results"], sort_keys=True)
        if said != self._said.setdefault(version, said):
            self.wrong.append(f"{version} said {self._said[version][:300]} and then {said[:300]}")

    def _is_stored(self, version: str) -> None:
        self.answers[version] += 1
        if version != UNTRAINED and version not in self._loaded:
            self.lineup.registry(self.project.id).load(version)
            self._loaded.add(version)
