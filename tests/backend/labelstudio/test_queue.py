import json

import pytest

from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fields import write_fields
from backend.labelstudio.predictions import Prediction, import_predictions, post_prediction
from backend.labelstudio.queue import UNCERTAINTY, QueueState, ensure_tabs, switch_stream
from backend.labelstudio.tabs import LABEL_NEXT, REVIEW_SUSPECTS, TABS, is_ours, significant, wanted_tab
from tests.backend.labelstudio.projects import CONFIG, annotate, choice, make_project

PREFIX = "lineup_"


def test_tab_data_survives_what_label_studio_makes_of_it():
    wanted = wanted_tab(REVIEW_SUSPECTS, PREFIX, 0.5)
    stored = json.loads(json.dumps(wanted))
    for number, item in enumerate(stored["filters"]["items"]):
        item.update(id=number, index=number)
    stored["filters"]["items"][1]["value"] = "0.5"
    stored["gridWidth"] = 4
    assert significant(stored) == significant(wanted)
    assert is_ours(stored, REVIEW_SUSPECTS, PREFIX)
    assert not is_ours(stored, LABEL_NEXT, PREFIX)
    assert significant(wanted_tab(REVIEW_SUSPECTS, PREFIX, 0.6)) != significant(wanted)


def test_state_survives_json():
    state = QueueState(newest_task="2026-01-01T00:00:00Z", sampling=UNCERTAINTY, intended="v2")
    assert QueueState.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert QueueState.from_json(None) == QueueState()


def views(label_studio, project):
    found = label_studio.api("GET", "/api/dm/views/", params={"project": project})
    return {view["data"].get("title"): view for view in found}


def change_view(label_studio, project, view, **data):
    body = {"project": project, "data": {**view["data"], **data}}
    label_studio.api("PATCH", f"/api/dm/views/{view['id']}/", body)


def ensure(live, project, known, threshold=0.5, **more):
    state = ensure_tabs(live, project, PREFIX, threshold, known, **more)
    return QueueState.from_json(json.loads(json.dumps(state.to_json())))


def project_of(label_studio, project):
    return label_studio.api("GET", f"/api/projects/{project}/")


class TestTabs:
    def test_show_what_they_say_in_order(self, label_studio, live):
        project, ids = make_project(label_studio, "tabs order", 8)
        for task in ids[:5]:
            annotate(label_studio, task)
        suspicion = dict(zip(ids, [0.2, 0.5, 0.9, 0.49, 1.0, 0.0, 0.7, 0.0], strict=True))
        priority = dict(zip(ids, [0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.0501, 0.9999], strict=True))
        write_fields(live, project, "lineup_suspicion", suspicion)
        write_fields(live, project, "lineup_priority", priority)
        ensure(live, project, QueueState())
        shown = {
            title: [
                t["id"] for t in live.get("/api/tasks/", {"project": project, "view": view["id"]})["tasks"]
            ]
            for title, view in views(label_studio, project).items()
        }
        assert shown["Label next"] == [ids[7], ids[5], ids[6]]
        assert shown["Review suspects"] == [ids[4], ids[2], ids[1]]

    def test_second_time_writes_nothing(self, label_studio, live):
        project, _ = make_project(label_studio, "tabs twice", 2)
        state = ensure(live, project, QueueState())
        before = views(label_studio, project)
        assert ensure(live, project, state) == state
        assert views(label_studio, project) == before

    def test_work_in_a_project_without_tasks(self, label_studio, live):
        project = label_studio.create_project("tabs empty", CONFIG)
        state = ensure(live, project, QueueState())
        assert set(views(label_studio, project)) >= {tab.title for tab in TABS}
        assert ensure(live, project, state) == state

    def test_new_threshold_is_written_and_peoples_columns_kept(self, label_studio, live):
        project, _ = make_project(label_studio, "tabs threshold", 2)
        state = ensure(live, project, QueueState())
        hidden = {"explore": ["tasks:id"], "labeling": []}
        change_view(
            label_studio, project, views(label_studio, project)["Review suspects"], hiddenColumns=hidden
        )
        state = ensure(live, project, state, 0.8)
        view = views(label_studio, project)["Review suspects"]
        assert view["data"]["filters"]["items"][1]["value"] == 0.8
        assert view["data"]["hiddenColumns"] == hidden
        assert ensure(live, project, state, 0.8) == state

    def test_changed_tab_is_left_alone_until_adopted(self, label_studio, live, caplog):
        caplog.set_level("INFO")
        project, _ = make_project(label_studio, "tabs changed", 2)
        state = ensure(live, project, QueueState())
        view = views(label_studio, project)["Label next"]
        change_view(label_studio, project, view, ordering=["tasks:id"])
        state = ensure(live, project, state)
        assert state.tabs["label_next"].theirs
        assert "someone changed tab" in caplog.text
        state = ensure(live, project, state, 0.9)
        assert views(label_studio, project)["Label next"]["data"]["ordering"] == ["tasks:id"]
        assert not state.tabs["review_suspects"].theirs
        state = ensure(live, project, state, adopt=True)
        assert not state.tabs["label_next"].theirs
        assert any(is_ours(v["data"], LABEL_NEXT, PREFIX) for v in views(label_studio, project).values())

    def test_deleted_tab_stays_deleted_until_adopted(self, label_studio, live):
        project, _ = make_project(label_studio, "tabs deleted", 2)
        state = ensure(live, project, QueueState())
        label_studio.api("DELETE", f"/api/dm/views/{state.tabs['label_next'].view}/")
        for _ in range(2):
            state = ensure(live, project, state)
            assert "Label next" not in views(label_studio, project)
        ensure(live, project, state, adopt=True)
        assert "Label next" in views(label_studio, project)

    def test_tabs_that_went_with_all_tasks_come_back(self, label_studio, live):
        project, ids = make_project(label_studio, "tabs wiped", 2)
        state = ensure(live, project, QueueState())
        label_studio.api(
            "POST",
            "/api/dm/actions",
            {"selectedItems": {"all": False, "included": ids}},
            {"id": "delete_tasks", "project": project},
        )
        assert views(label_studio, project) == {}
        label_studio.import_tasks(project, [{"data": {"image": "s3://b/new.png"}}])
        state = ensure(live, project, state)
        assert set(views(label_studio, project)) == {"Label next", "Review suspects"}
        assert not any(tab.theirs for tab in state.tabs.values())

    def test_lost_state_finds_its_tabs_again(self, label_studio, live):
        project, _ = make_project(label_studio, "tabs lost", 2)
        state = ensure(live, project, QueueState())
        assert ensure(live, project, QueueState()).tabs == state.tabs
        found = label_studio.api("GET", "/api/dm/views/", params={"project": project})
        assert len(found) == 2


class TestStream:
    @pytest.fixture
    def project(self, label_studio, live, request):
        project, ids = make_project(label_studio, request.node.name[:50], 4)
        scores = [0.4, 0.1, 0.3, 0.2]
        for version, sign in (("v1", 1), ("v2", -1)):
            predictions = [
                Prediction(task, choice("cat"), score if sign > 0 else 1 - score, version)
                for task, score in zip(ids, scores, strict=True)
            ]
            import_predictions(live, project, CONFIG, predictions)
        label_studio.api(
            "PATCH", f"/api/projects/{project}/", {"model_version": "", "sampling": "Uniform sampling"}
        )
        return project, ids

    def next_task(self, label_studio, project):
        answer = label_studio.api("POST", "/api/dm/actions", {}, {"id": "next_task", "project": project})
        return answer["id"]

    def test_serves_by_the_versions_score(self, label_studio, live, project):
        project, ids = project
        state = switch_stream(live, project, "v1", QueueState())
        assert self.next_task(label_studio, project) == ids[1]
        annotate(label_studio, ids[1])
        switch_stream(live, project, "v2", state)
        assert self.next_task(label_studio, project) == ids[0]

    def test_same_version_again_writes_nothing(self, label_studio, live, project):
        project, _ = project
        state = switch_stream(live, project, "v1", QueueState())
        saved = []
        assert switch_stream(live, project, "v1", state, save=saved.append) == state
        assert saved == []

    def test_version_without_predictions_is_refused(self, live, project):
        with pytest.raises(LabelStudioError, match="post them before the switch"):
            switch_stream(live, project[0], "v9", QueueState())

    def test_sampling_set_by_a_person_stays(self, label_studio, live, project):
        project, _ = project
        state = switch_stream(live, project, "v1", QueueState())
        label_studio.api("PATCH", f"/api/projects/{project}/", {"sampling": "Sequential sampling"})
        for version in ("v2", "v1"):
            state = switch_stream(live, project, version, state)
            assert project_of(label_studio, project)["sampling"] == "Sequential sampling"
            assert project_of(label_studio, project)["model_version"] == version
        state = switch_stream(live, project, "v2", state, adopt=True)
        assert project_of(label_studio, project)["sampling"] == UNCERTAINTY
        assert not state.sampling_theirs

    def test_version_chosen_by_a_person_stays(self, label_studio, live, project):
        project, ids = project
        state = switch_stream(live, project, "v1", QueueState())
        state = switch_stream(live, project, "v2", state)
        label_studio.api("PATCH", f"/api/projects/{project}/", {"model_version": "v1"})
        post_prediction(live, project, Prediction(ids[0], choice("cat"), 0.5, "v3"))
        state = switch_stream(live, project, "v3", state)
        assert state.model_version_theirs
        assert project_of(label_studio, project)["model_version"] == "v1"
        switch_stream(live, project, "v3", state, adopt=True)
        assert project_of(label_studio, project)["model_version"] == "v3"

    def test_version_emptied_by_deleting_its_predictions_is_nobodys_choice(self, label_studio, live, project):
        project, _ = project
        state = switch_stream(live, project, "v1", QueueState())
        label_studio.api("DELETE", f"/api/projects/{project}/model-versions/", {"model_version": "v1"})
        assert not project_of(label_studio, project)["model_version"]
        switch_stream(live, project, "v2", state)
        assert project_of(label_studio, project)["model_version"] == "v2"

    def test_crash_after_the_switch_is_not_taken_for_a_person(self, label_studio, live, project):
        project, ids = project
        saved = []
        state = switch_stream(live, project, "v1", QueueState(), save=saved.append)
        switch_stream(live, project, "v2", state, save=saved.append)
        post_prediction(live, project, Prediction(ids[0], choice("cat"), 0.5, "v3"))
        healed = switch_stream(live, project, "v3", saved[-1])
        assert not healed.model_version_theirs
        assert project_of(label_studio, project)["model_version"] == "v3"
