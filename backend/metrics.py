"""What Prometheus can read at ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.jobs.base import QueueUnavailable, RefreshQueue
from backend.project import Project
from backend.settings import Settings
from backend.status import read_status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one server.

    Attributes
    ----------
    events : Counter
        Webhook events taken, by event name; names Lineup does not know count as ``unknown``.
    predictions : Counter
        Tasks in ``/predict``, by ``outcome``: ``predicted``, or ``empty`` where there is no result: no prediction, or
        one of no class.
    predict_seconds : Histogram
        Seconds a ``/predict`` request took.
    refused : Counter
        Requests answered 422, by path.
    """

    def __init__(self, settings: Settings, queue: RefreshQueue) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter("lineup_events", "Webhook events taken.", ["event"], registry=self.registry)
        self.predictions = Counter(
            "lineup_predictions", "Tasks in /predict, by outcome.", ["outcome"], registry=self.registry
        )
        self.predict_seconds = Histogram(
            "lineup_predict_seconds", "Seconds a /predict request took.", registry=self.registry
        )
        self.refused = Counter("lineup_malformed", "Requests answered 422.", ["path"], registry=self.registry)
        self.registry.register(StateCollector(settings, queue))

    def render(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self.registry)


class StateCollector(Collector):
    """Reads the worker's and the projects' state at the moment someone asks."""

    def __init__(self, settings: Settings, queue: RefreshQueue) -> None:
        self.settings = settings
        self.queue = queue

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge a number of `backend.status`."""
        yield GaugeMetricFamily("lineup_worker_alive", "1 while the worker runs.", float(self.queue.alive))
        yield GaugeMetricFamily(
            "lineup_worker_restarts", "Times the worker ended by itself.", float(self.queue.restarts)
        )
        with suppress(QueueUnavailable):  # an absent gauge says that nobody knows; /health says why
            yield GaugeMetricFamily(
                "lineup_waiting_projects", "Projects that wait for a refresh.", float(self.queue.waiting())
            )
        gauges = {
            name: GaugeMetricFamily(f"lineup_{name}", text, labels=["project"])
            for name, text in (
                ("refresh_failed", "1 if the last refresh failed."),
                ("last_refresh_timestamp_seconds", "When the last refresh ended well."),
                ("refresh_seconds", "Seconds the last refresh took."),
                ("labels", "Labelled tasks."),
                ("suspects", "Labelled tasks at or above the review threshold."),
                ("accuracy", "Out-of-sample agreement with the labels."),
            )
        }
        for project_id in Project.known(self.settings):
            status = read_status(self.settings.project_dir(project_id))
            numbers: dict[str, float | None] = {"refresh_failed": float(status.last_error is not None)}
            if last := status.last_refresh:
                numbers |= {
                    "last_refresh_timestamp_seconds": last.finished_at,
                    "refresh_seconds": sum(last.seconds.values()),
                    "labels": last.labels,
                    "suspects": last.suspects,
                    "accuracy": last.accuracy,
                }
            for name, value in numbers.items():
                if value is not None:
                    gauges[name].add_metric([str(project_id)], value)
        yield from gauges.values()
