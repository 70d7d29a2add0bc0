"""What Prometheus reads, where it comes from, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from backend.app import create_app
from backend.jobs.hints import HintStore
from backend.jobs.worker import Stopped, Worker
from backend.refresh_result import RefreshResult
from backend.settings import Settings
from backend.status import read_status
from backend.tally import ERRORS, IMAGES, WRITES, add, count, tally
from tests.backend.trained import CONFIG, HintList, Trained, make_settings

# what Prometheus' own configuration and PromQL bring along
_FOREIGN_LABELS = {"instance", "job", "le"}


class Scripted:
    """Refreshes that count as real ones do, and end as told."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)

    def known_projects(self) -> list[int]:
        return [7]

    def refresh(self, project_id: int, reasons: Any, progress: Any, begins: Any) -> RefreshResult:
        begins()
        count(IMAGES, "embedded", 10)
        count(IMAGES, "broken")
        count(WRITES, "fields", 30)
        count(ERRORS, "502")
        end = self.ends.pop(0)
        if end:
            raise end
        result = RefreshResult(
            "choices-1-aaaaaaaa", learned=True, tasks=40, labels=12, suspects=3, accuracy=0.9
        )
        result.seconds = {"read": 0.5, "learn": 1.5}
        result.expected_wrong = 2.0
        return result

    def idle_step(self, project_id: int, interrupted: Any) -> bool:
        count(WRITES, "predictions", 5)
        return False


def work(settings: Settings, *ends: Exception | None) -> None:
    now = [0.0]
    hints = HintStore(settings.model_dir, lambda: now[0])
    worker = Worker(settings, hints, Scripted(*ends), lambda: now[0])
    for _ in ends:
        hints.add(7, "ANNOTATION_CREATED")
        now[0] += 1000
        worker.step()
    now[0] += 1
    worker.step()


@pytest.fixture
def scraped(
    trained: Trained, hints: HintList
) -> Iterator[dict[str, dict[tuple[tuple[str, str], ...], float]]]:
    """Samples by name and labels, after a few refreshes and requests."""
    work(trained.settings, None, ValueError("no"), Stopped(), None)
    return scrape(trained, hints)


def scrape(trained: Trained, hints: HintList) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    web = TestClient(create_app(trained.settings, hints))
    web.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": 7}})
    web.post("/predict", json={"tasks": [trained.task(1)], "project": "7", "label_config": CONFIG})
    web.post("/setup", json={})
    web.post("/predict", content=b"", headers={"Content-Length": "99999999999"})
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(web.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def test_what_refreshes_did_adds_up_across_processes(scraped: dict[str, Any]) -> None:
    refreshes = scraped["lineup_refreshes_total"]
    assert refreshes[of(project="7", outcome="learned")] == 2
    assert refreshes[of(project="7", outcome="failed")] == 1
    assert refreshes[of(project="7", outcome="put off")] == 1
    assert scraped["lineup_images_total"][of(project="7", outcome="embedded")] == 40
    assert scraped["lineup_images_total"][of(project="7", outcome="broken")] == 4
    assert scraped["lineup_publish_writes_total"][of(project="7", kind="fields")] == 120
    assert scraped["lineup_publish_writes_total"][of(project="7", kind="predictions")] == 5
    assert scraped["lineup_label_studio_errors_total"][of(project="7", error="502")] == 4
    assert scraped["lineup_refresh_step_seconds_total"][of(project="7", step="learn")] == 3.0


def test_where_a_project_stands(scraped: dict[str, Any]) -> None:
    for name, value in {"accuracy": 0.9, "suspects": 3, "labels": 12, "tasks": 40}.items():
        assert scraped[f"lineup_{name}"][of(project="7")] == value
    assert scraped["lineup_expected_wrong_labels"][of(project="7")] == 2.0
    assert scraped["lineup_waiting_projects"][()] == 1
    assert scraped["lineup_predict_seconds_count"][()] == 1
    assert scraped["lineup_rejected_total"][of(reason="size")] == 1


def test_names_follow_the_conventions(scraped: dict[str, Any]) -> None:
    for name in scraped:
        assert re.fullmatch(r"lineup(_[a-z]+)+", name), name
        assert not re.search(r"_(ms|millis|percent|num)(_|$)", name), name


def test_the_status_of_an_older_release_counts_from_zero(trained: Trained) -> None:
    folder = trained.settings.project_dir(7)
    (folder / "status.json").write_text(json.dumps({"state": "idle"}), encoding="utf-8")
    assert read_status(folder).counts == {}
    work(trained.settings, None)
    assert read_status(folder).counts["refreshes"] == {"learned": 1}


def test_counts_outside_a_refresh_go_nowhere_and_sums_leave_their_parts_alone() -> None:
    count(IMAGES, "embedded")
    with tally() as counts:
        count(IMAGES, "embedded", 2)
        count(IMAGES, "embedded", 0)
    total = add(counts, {IMAGES: {"embedded": 1, "broken": 3}})
    assert total == {IMAGES: {"embedded": 3, "broken": 3}}
    assert counts == {IMAGES: {"embedded": 2}}


def queries(node: Any) -> Iterator[str]:
    """Yield every PromQL expression of a dashboard."""
    if isinstance(node, dict):
        if "expr" in node:
            yield node["expr"]
        if isinstance(node.get("query"), str) and "label_values" in node["query"]:
            yield node["query"]
        for value in node.values():
            yield from queries(value)
    elif isinstance(node, list):
        for value in node:
            yield from queries(value)


def test_the_dashboard_asks_only_for_what_is_exported(scraped: dict[str, Any], repository: Path) -> None:
    dashboard = json.loads((repository / "docs" / "grafana.json").read_text(encoding="utf-8"))
    labels = {name: {key for sample in samples for key, _ in sample} for name, samples in scraped.items()}
    asked: set[str] = set()
    for query in queries(dashboard):
        names = set(re.findall(r"\blineup\w*", query))
        assert names, query
        assert names <= set(scraped), f"{query}: not exported: {names - set(scraped)}"
        asked |= names
        known = set.union(*(labels[name] for name in names)) | _FOREIGN_LABELS
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", query))
        for group in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", query):
            used |= {label.strip() for label in group.split(",")}
        assert used <= known, f"{query}: no such label: {used - known}"
    families = {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in scraped if not name.endswith("_created")
    }
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    told = {"lineup_info", "lineup_malformed_total"}
    assert families - shown - told == set(), "the dashboard leaves out what is exported"


def test_legends_name_labels_their_query_keeps(repository: Path) -> None:
    dashboard = json.loads((repository / "docs" / "grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            kept = {
                label.strip()
                for group in re.findall(r"\bby\s*\(([^)]*)\)", target["expr"])
                for label in group.split(",")
            }
            grouped = re.search(r"\b(sum|max|histogram_quantile)\b", target["expr"])
            for label in re.findall(r"{{\s*(\w+)\s*}}", target.get("legendFormat", "")):
                assert not grouped or label in kept, f"{panel['title']}: {label}"


def test_panels_do_not_overlap_and_every_one_says_what_it_shows(repository: Path) -> None:
    dashboard = json.loads((repository / "docs" / "grafana.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["description"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_a_server_without_projects_has_metrics(tmp_path: Path, hints: HintList) -> None:
    web = TestClient(create_app(make_settings(tmp_path), hints))
    assert "lineup_worker_alive 1.0" in web.get("/metrics").text
