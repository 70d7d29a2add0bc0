import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fields import CHUNK, bucket, chunks, ensure_columns, write_fields
from tests.backend.labelstudio.projects import annotate, make_project
from tests.backend.labelstudio.web import TOKEN, Reply


class Bulk:
    """A Label Studio whose bulk action fails for ``poisoned`` tasks and misses ``deleted`` ones."""

    def __init__(self, site, poisoned=(), deleted=()):
        self.poisoned, self.deleted = set(poisoned), set(deleted)
        self.calls = []
        self.site = site(self.answer)

    def answer(self, seen):
        if seen.method == "GET":
            return Reply.of(
                {"tasks": [{"id": task} for task in self.calls[-1][1] if task not in self.deleted]}
            )
        body = seen.json
        ids = body["selectedItems"]["included"]
        assert ids
        assert body["selectedItems"]["all"] is False
        self.calls.append((body["value"], ids))
        if self.poisoned.intersection(ids):
            return Reply.of({"detail": "'str' object does not support item assignment"}, 500)
        return Reply.of({"detail": f"Updated {len(set(ids) - self.deleted)} tasks"})

    def write(self, values, **more):
        return write_fields(LabelStudioClient(self.site.url, TOKEN), 3, "f", values, **more)


def test_buckets_keep_the_order_of_first_appearance():
    assert bucket({3: 0.5, 1: "a", 2: 0.5, 4: 1}) == [(0.5, [3, 2]), ("a", [1]), (1.0, [4])]


def test_text_and_number_of_the_same_look_are_different_values():
    assert bucket({1: "0.5", 2: 0.5}) == [("0.5", [1]), (0.5, [2])]


@pytest.mark.parametrize("value", [math.nan, math.inf, None, True, [1]])
def test_values_that_would_break_the_order_are_refused_before_anything_is_written(site, value):
    server = Bulk(site)
    with pytest.raises(ValueError, match="task 2"):
        server.write({1: 0.5, 2: value})
    assert server.calls == []


def test_chunks():
    assert list(chunks([1, 2, 3], 2)) == [[1, 2], [3]]
    assert list(chunks([], 2)) == []


def test_nothing_to_write_calls_nobody(site):
    server = Bulk(site)
    assert server.write({}) == set()
    assert server.calls == []


def test_equal_values_share_a_call_of_at_most_the_chunk(site):
    server = Bulk(site)
    done = []
    assert server.write(dict.fromkeys(range(1, CHUNK + 11), 0.25), on_call=done.append) == set(
        range(1, CHUNK + 11)
    )
    assert [len(ids) for _, ids in server.calls] == done == [CHUNK, 10]


def test_stop_ends_between_two_calls(site):
    server = Bulk(site)
    assert server.write({1: 0.1, 2: 0.2, 3: 0.3}, stop=lambda: len(server.calls) == 2) == {1, 2}


def test_deleted_task_is_not_reported_as_written(site):
    server = Bulk(site, deleted=[2])
    assert server.write({1: "x", 2: "x", 3: "x"}) == {1, 3}


def test_poisoned_task_costs_only_itself(site, caplog):
    server = Bulk(site, poisoned=[13])
    assert server.write(dict.fromkeys(range(20), 0.5)) == set(range(20)) - {13}
    assert "task 13" in caplog.text


def test_failing_server_is_not_hammered(site):
    server = Bulk(site, poisoned=range(1000))
    with pytest.raises(LabelStudioError):
        server.write(dict.fromkeys(range(1000), 0.5))
    assert len(server.calls) < 50


class TestReal:
    def test_values_arrive_with_their_types_and_touch_nothing_else(self, label_studio, live):
        project, ids = make_project(label_studio, "fields", 4)
        before = {
            task: label_studio.api("GET", f"/api/tasks/{task}/", params={"resolve_uri": "false"})
            for task in ids
        }
        assert write_fields(live, project, "n", {ids[0]: 0.1234, ids[1]: 0, ids[2]: 0.1234}) == set(ids[:3])
        assert write_fields(live, project, "s", {ids[0]: "déjà <b>", ids[1]: ""}) == set(ids[:2])
        after = {
            task: label_studio.api("GET", f"/api/tasks/{task}/", params={"resolve_uri": "false"})
            for task in ids
        }
        new = [{k: v for k, v in after[t]["data"].items() if k not in before[t]["data"]} for t in ids]
        assert new == [{"n": 0.1234, "s": "déjà <b>"}, {"n": 0.0, "s": ""}, {"n": 0.1234}, {}]
        for task in ids:
            assert after[task]["updated_at"] == before[task]["updated_at"]
            assert {k: after[task]["data"][k] for k in before[task]["data"]} == before[task]["data"]

    def test_task_deleted_meanwhile(self, label_studio, live):
        project, ids = make_project(label_studio, "fields deleted", 3)
        label_studio.api("DELETE", f"/api/tasks/{ids[1]}/")
        assert write_fields(live, project, "n", dict.fromkeys(ids, 0.5)) == {ids[0], ids[2]}

    def test_poisoned_task(self, label_studio, live):
        project, ids = make_project(label_studio, "fields poisoned", 5)
        # Label Studio answers 500 and stores it all the same
        with pytest.raises(Exception, match="500"):
            label_studio.api("PATCH", f"/api/tasks/{ids[2]}/", {"data": "not an object"})
        assert write_fields(live, project, "n", dict.fromkeys(ids, 0.5)) == set(ids) - {ids[2]}

    def test_other_projects_are_out_of_reach(self, label_studio, live):
        project, _ = make_project(label_studio, "fields mine", 1)
        _, others = make_project(label_studio, "fields other", 1)
        assert write_fields(live, project, "n", {others[0]: 0.5}) == set()
        assert "n" not in label_studio.api("GET", f"/api/tasks/{others[0]}/")["data"]

    def test_annotating_meanwhile_loses_nothing(self, label_studio, live):
        project, ids = make_project(label_studio, "fields race", 30)
        with ThreadPoolExecutor(len(ids)) as people:
            submitted = people.map(lambda task: annotate(label_studio, task), ids)
            values = {task: number / 100 for number, task in enumerate(ids)}
            written = write_fields(live, project, "n", values)
            assert len({annotation["id"] for annotation in submitted}) == len(ids)
        tasks = live.get("/api/tasks/", {"project": project, "page_size": 100})["tasks"]
        assert written == set(ids)
        assert all(task["is_labeled"] and task["total_annotations"] == 1 for task in tasks)
        assert [task["data"]["n"] for task in tasks] == [number / 100 for number in range(30)]

    def test_columns_come_back_after_many_deletions(self, label_studio, live):
        project, ids = make_project(label_studio, "fields columns", 6)
        write_fields(live, project, "n", dict.fromkeys(ids, 0.5))
        assert not ensure_columns(live, project, ["n", "never_written"])
        for task in ids[:2]:
            label_studio.api("DELETE", f"/api/tasks/{task}/")
        assert ensure_columns(live, project, ["n"])
        assert not ensure_columns(live, project, ["n"])
