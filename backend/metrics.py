"""What Prometheus can read at ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from backend import __version__
from backend.jobs.base import QueueUnavailable, RefreshQueue
from backend.project import Project, project_status
from backend.settings import Settings
from backend.status import Status
from backend.tally import ERRORS, IMAGES, REFRESHES, STEPS, WRITES

# Label Studio gives up after 100 s
PREDICT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 80)
# what `backend.tally` counts: metric, label, help
COUNTERS = {
    REFRESHES: ("lineup_refreshes", "outcome", "Refreshes, by outcome: learned, kept, failed, put off."),
    STEPS: ("lineup_refresh_step_seconds", "step", "Seconds spent in each step of refreshes."),
    IMAGES: ("lineup_images", "outcome", "Images met for the first time, by outcome: embedded, broken."),
    WRITES: ("lineup_publish_writes", "kind", "Predictions and field values written to Label Studio."),
    ERRORS: ("lineup_label_studio_errors", "error", "Calls to Label Studio that failed, by HTTP status."),
}
GAUGES = {
    "refresh_running": "1 while a refresh runs.",
    "refresh_failed": "1 if the last refresh failed.",
    "last_refresh_timestamp_seconds": "When the last refresh ended well.",
    "refresh_seconds": "Seconds the last refresh took.",
    "tasks": "Tasks of the project.",
    "labels": "Labelled tasks.",
    "suspects": "Labelled tasks at or above the review threshold.",
    "expected_wrong_labels": "Labels expected to be wrong among those nobody has reviewed.",
    "accuracy": "Out-of-sample agreement with the labels.",
}

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
    rejected : Counter
        Requests not let in, by ``reason``: ``credentials``, ``rate``, ``size``, ``busy``, ``time``.
    """

    def __init__(self, settings: Settings, queue: RefreshQueue) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter("lineup_events", "Webhook events taken.", ["event"], registry=self.registry)
        self.predictions = Counter(
            "lineup_predictions", "Tasks in /predict, by outcome.", ["outcome"], registry=self.registry
        )
        self.predict_seconds = Histogram(
            "lineup_predict_seconds",
            "Seconds a /predict request took.",
            buckets=PREDICT_BUCKETS,
            registry=self.registry,
        )
        self.refused = Counter("lineup_malformed", "Requests answered 422.", ["path"], registry=self.registry)
        self.rejected = Counter(
            "lineup_rejected", "Requests not let in, by reason.", ["reason"], registry=self.registry
        )
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
        """Yield the numbers of the worker and of `backend.status`."""
        yield InfoMetricFamily("lineup", "The release.", {"version": __version__})
        yield GaugeMetricFamily("lineup_worker_alive", "1 while the worker runs.", float(self.queue.alive))
        yield CounterMetricFamily(
            "lineup_worker_restarts", "Times the worker ended by itself.", float(self.queue.restarts)
        )
        with suppress(QueueUnavailable):  # an absent gauge says that nobody knows; /health says why
            yield GaugeMetricFamily(
                "lineup_waiting_projects", "Projects that wait for a refresh.", float(self.queue.waiting())
            )
        gauges = {
            name: GaugeMetricFamily(f"lineup_{name}", text, labels=["project"])
            for name, text in GAUGES.items()
        }
        counters = {
            key: CounterMetricFamily(name, text, labels=["project", label])
            for key, (name, label, text) in COUNTERS.items()
        }
        for project_id in Project.known(self.settings):
            status = project_status(self.settings, project_id)
            project = str(project_id)
            for name, value in _numbers(status).items():
                if value is not None:
                    gauges[name].add_metric([project], value)
            for key, counter in counters.items():
                for label, total in status.counts.get(key, {}).items():
                    counter.add_metric([project, label], total)
        yield from gauges.values()
        yield from counters.values()


def _numbers(status: Status) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {
        "refresh_running": float(status.state == "running"),
        "refresh_failed": float(status.last_error is not None),
    }
    if last := status.last_refresh:
        numbers |= {
            "last_refresh_timestamp_seconds": last.finished_at,
            "refresh_seconds": sum(last.seconds.values()),
            "tasks": last.tasks,
            "labels": last.labels,
            "suspects": last.suspects,
            "expected_wrong_labels": last.expected_wrong,
            "accuracy": last.accuracy,
        }
    return numbers
