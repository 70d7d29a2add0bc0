import json
from functools import partial

import pytest

from backend.labelstudio import predictions as predictions_module
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.predictions import (
    Prediction,
    batches,
    delete_predictions,
    delete_version,
    import_predictions,
    list_predictions,
    list_scored,
    post_prediction,
    versions,
)
from tests.backend.labelstudio.projects import CONFIG, MANY, choice, choices, make_project


def predictions(ids, version="v1", label="cat"):
    return [Prediction(task, choice(label), number / 100, version) for number, task in enumerate(ids)]


class TestBatches:
    def made_late(self, n, size):
        made = []

        def make(number):
            made.append(number)
            return [{"value": {"rle": [7] * size}}]

        late = [Prediction(task, partial(make, task), 0.5, "v1") for task in range(n)]
        return late, made

    def test_results_are_made_a_batch_at_a_time(self):
        late, made = self.made_late(7, 1000)
        size = len(json.dumps(late[0].body()))
        made.clear()
        parts = batches(late, most_bytes=3 * size + 10)
        assert [p.task for p in next(parts)] == [0, 1, 2]
        assert made == [0, 1, 2, 3]  # one more tells that it is full
        assert [[p.task for p in part] for part in parts] == [[3, 4, 5], [6]]
        assert made == list(range(7))

    def test_it_stops_between_two_results_and_hands_over_what_is_made(self):
        late, made = self.made_late(7, 1000)
        answers = iter([False, False, True])
        assert [[p.task for p in part] for part in batches(late, stop=lambda: next(answers))] == [[0, 1, 2]]
        assert made == [0, 1, 2]
        # the first is made in any case, and what need not be made is not asked about
        made.clear()
        assert [len(part) for part in batches(late, stop=lambda: True)] == [1]
        assert [len(part) for part in batches(predictions(range(9)), stop=lambda: True)] == [9]

    def test_one_that_is_too_large_goes_alone(self):
        late, _ = self.made_late(3, 1000)
        assert [len(part) for part in batches(late, most_bytes=10)] == [1, 1, 1]

    def test_results_that_are_there_go_in_one(self):
        [part] = batches(predictions(range(3000)), most_bytes=1000)
        assert part == predictions(range(3000))
        assert list(batches([])) == []


class TestReal:
    def test_post_list_and_delete_one_by_one(self, label_studio, live):
        project, ids = make_project(label_studio, "predictions single", 4)
        posted = {post_prediction(live, project, p): p.task for p in predictions(ids)}
        for other in predictions(ids[:2], "v1.1"):
            post_prediction(live, project, other)
        assert list_predictions(live, project, "v1") == posted
        scores = {p.task: p.score for p in predictions(ids)}
        stored = {number: (task, scores[task]) for number, task in posted.items()}
        assert list_scored(live, project, "v1") == stored
        assert versions(live, project) == {"v1": 4, "v1.1": 2}
        done = []
        first = list(posted)[:2]
        assert delete_predictions(
            live, list(posted), stop=lambda: len(done) == 2, on_call=done.append
        ) == set(first)
        assert delete_predictions(live, first) == set(first)
        assert set(list_predictions(live, project, "v1")) == set(posted) - set(first)

    def test_score_and_region_confidence_are_stored(self, label_studio, live):
        project, ids = make_project(label_studio, "predictions stored", 1)
        result = [{**choice("bird")[0], "score": 0.75}]
        prediction_id = post_prediction(live, project, Prediction(ids[0], result, 0.0001, "v1"))
        stored = live.get(f"/api/predictions/{prediction_id}/")
        assert (stored["score"], stored["model_version"]) == (0.0001, "v1")
        assert stored["result"][0]["score"] == 0.75

    def test_several_choices_and_none_singly_and_in_bulk(self, label_studio, live):
        project = label_studio.create_project("predictions of sets", MANY)
        data = [{"data": {"image": f"s3://bucket/{number}.png"}} for number in range(4)]
        ids = label_studio.import_tasks(project, data)
        some, none = choices("cat", "bird"), choices()
        for task, result in zip(ids[:2], (some, none), strict=True):
            post_prediction(live, project, Prediction(task, result, 0.25, "v1"))
        rest = [
            Prediction(task, result, 0.75, "v1") for task, result in zip(ids[2:], (some, none), strict=True)
        ]
        assert import_predictions(live, project, MANY, rest).created == 2
        stored = {
            task: live.get(f"/api/predictions/{number}/")
            for number, task in list_predictions(live, project, "v1").items()
        }
        assert [stored[task]["result"] for task in ids] == [some, none, some, none]
        assert [stored[task]["score"] for task in ids] == [0.25, 0.25, 0.75, 0.75]
        live.patch(f"/api/projects/{project}/", {"model_version": "v1", "sampling": "Uncertainty sampling"})
        params = {"id": "next_task", "project": project}
        served = label_studio.api("POST", "/api/dm/actions", {}, params)
        assert served["id"] in ids[:2]

    def test_large_version_is_listed_alike(self, label_studio, live, monkeypatch):
        project, ids = make_project(label_studio, "predictions large", 3)
        import_predictions(live, project, CONFIG, predictions(ids) + predictions(ids[:1], "v10"))
        small = list_scored(live, project, "v1")
        monkeypatch.setattr(predictions_module, "SMALL_VERSION", 0)
        assert list_scored(live, project, "v1") == small
        assert sorted(task for task, _ in small.values()) == ids
        assert list_predictions(live, project, "never") == {}

    def test_import_in_bulk(self, label_studio, live):
        project, ids = make_project(label_studio, "predictions bulk", 5)
        report = import_predictions(live, project, CONFIG, predictions(ids))
        assert (report.created, report.rejected) == (5, {})
        assert set(list_predictions(live, project, "v1").values()) == set(ids)
        assert delete_version(live, project, "v1") == 5
        assert delete_version(live, project, "v1") == 0

    def test_nothing_to_import(self, live):
        assert import_predictions(live, 1, CONFIG, []).created == 0

    def test_dropped_predictions_are_named(self, label_studio, live, caplog):
        project, ids = make_project(label_studio, "predictions dropped", 4)
        good = predictions(ids)
        bad = Prediction(ids[1], choice("horse"), 0.5, "v1")
        loud = Prediction(ids[2], choice("cat"), 1.5, "v1")
        report = import_predictions(live, project, CONFIG, [good[0], bad, loud, good[3]])
        assert report.created == 2
        assert set(report.rejected) == {ids[1], ids[2]}
        assert "horse" in report.rejected[ids[1]]
        assert f"task {ids[1]}" in caplog.text

    def test_alias_is_what_label_studio_accepts(self, label_studio, live):
        project, ids = make_project(label_studio, "predictions alias", 2)
        alias, value = (
            Prediction(ids[0], choice("bird"), 0, "v"),
            Prediction(ids[1], choice("A bird"), 0, "v"),
        )
        report = import_predictions(live, project, CONFIG, [alias, value])
        assert set(report.rejected) == {ids[1]}

    def test_deleted_task_costs_only_itself(self, label_studio, live):
        project, ids = make_project(label_studio, "predictions gone", 3)
        label_studio.api("DELETE", f"/api/tasks/{ids[1]}/")
        report = import_predictions(live, project, CONFIG, predictions(ids))
        assert report.created == 2
        assert report.rejected == {ids[1]: "the task no longer exists"}
        assert post_prediction(live, project, predictions(ids)[1]) is None

    def test_unknown_project(self, live):
        with pytest.raises(LabelStudioError):
            import_predictions(live, 999_999, CONFIG, predictions([1]))
