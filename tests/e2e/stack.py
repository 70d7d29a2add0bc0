"""A server, its workers, their Redis, and one project."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from backend.project import project_status
from backend.status import Status
from demo.annotator import Annotator
from demo.lineup import LineupServer
from tests.e2e.conftest import QUICK
from tests.e2e.project import DigitsProject
from tests.e2e.workers import WorkerProcess, wait_for
from tests.redis_server import RedisServer


@dataclass
class Stack:
    """Everything that runs, and one project on it.

    Attributes
    ----------
    labels : int
        How many tasks of the project are labelled.
    """

    redis: RedisServer
    server: LineupServer
    workers: list[WorkerProcess]
    project: DigitsProject
    labels: int

    def event(self) -> int:
        """Send an event as Label Studio does; return the status of the answer."""
        answer = httpx.post(
            f"{self.server.url}/webhook",
            json={"action": "ANNOTATION_CREATED", "project": {"id": self.project.id}},
            headers={"X-Lineup-Secret": str(QUICK["webhook_secret"])},
            timeout=10,
            trust_env=False,
        )
        return answer.status_code

    def health(self) -> dict[str, Any]:
        """What /health says."""
        found: dict[str, Any] = httpx.get(f"{self.server.url}/health", timeout=10, trust_env=False).json()
        return found

    def annotate(self, count: int) -> None:
        """Label the next tasks."""
        annotator = Annotator(self.project.server, self.project.id, self.project.truth)
        assert len(list(annotator.annotate(count))) == count
        self.labels += count

    def status(self) -> Status:
        """What is going on in the project now."""
        return project_status(self.server.settings, self.project.id, now=True)

    def running(self) -> tuple[WorkerProcess, WorkerProcess]:
        """Wait until a refresh is under way; return the worker that does it, and the other one."""
        wait_for(lambda: self.status().state == "running", "no refresh starts")
        pid = self.status().worker_pid
        one, other = self.workers
        return (one, other) if one.pid == pid else (other, one)

    def refreshes(self) -> list[tuple[float, float, str]]:
        """Return begin, end and reasons of all refreshes that ended, by begin."""
        return sorted(run for worker in self.workers for run in worker.refreshes(self.project.id))

    def assert_converged(self) -> None:
        """One version everywhere, no prediction twice, no annotation lost."""
        project = self.project
        last = self.server.wait(project.id, labels=self.labels)
        assert last.version == project.served_version() == self.server.registry(project.id).published()
        tasks = project.tasks()
        assert sum(task["is_labeled"] for task in tasks) == self.labels
        for task in tasks:
            count = Counter(prediction["model_version"] for prediction in task["predictions"])
            assert all(number == 1 for number in count.values()), f"task {task['id']}: {count}"
