import json
import time
from datetime import UTC, datetime

import pytest

from backend.labelstudio import reader
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fields import write_fields
from backend.labelstudio.predictions import Prediction, import_predictions
from backend.labelstudio.targets import UNTOUCHED, marked_ground_truth
from backend.packed import pack
from tests.backend.labelstudio.mask_projects import BRUSH, POLYGON, blobs, mask_kind
from tests.backend.labelstudio.projects import CONFIG, annotate, choice, make_project


def everything(live, project, **more):
    return [task for page in reader.read_tasks(live, project, **more) for task in page]


def test_times_are_read_in_utc():
    assert reader.parse_time("2026-11-21T09:26:16.905529Z") == datetime(2026, 11, 21, 9, 26, 16, 905529, UTC)
    assert reader.parse_time("2026-11-21T10:26:16+01:00") == datetime(2026, 11, 21, 9, 26, 16, tzinfo=UTC)
    assert reader.parse_time("2026-11-21T09:26:16") == datetime(2026, 11, 21, 9, 26, 16, tzinfo=UTC)


class ManyTasks:
    """A client of a project whose first tasks have no annotation, and whose last have a mask."""

    def __init__(self, without: int, drawn: int) -> None:
        region = mask_kind(BRUSH).result(blobs((60, 80), 1), 1)
        self.tasks = [
            self.task(number, [region] * (number > without)) for number in range(1, without + drawn + 1)
        ]
        self.size = pack(region).size

    def task(self, number, results):
        time = "2026-11-21T09:26:16Z"
        more = {"completed_by": 1, "ground_truth": False, "was_cancelled": False}
        given = [{"id": number, **more, "created_at": time, "updated_at": time, "result": r} for r in results]
        return {
            "id": number,
            "data": {},
            "is_labeled": bool(given),
            "annotations": given,
            "updated_at": time,
            "created_at": time,
        }

    def get(self, path, params):
        [after] = json.loads(params["query"])["filters"]["items"]
        left = [task for task in self.tasks if task["id"] > after["value"]]
        return {"tasks": left[: params["page_size"]]}


def test_unlabelled_tasks_do_not_make_pages_of_masks_long(monkeypatch):
    client = ManyTasks(40, 20)
    monkeypatch.setattr(reader, "FIRST_PAGE", 5)
    monkeypatch.setattr(reader, "MASK_BYTES", 3 * client.size)
    pages = [len(page) for page in reader.read_tasks(client, 1)]
    assert pages == [*[5] * 9, 3, 3, 3, 3, 3]
    assert [len(page) for page in reader.read_tasks(client, 1, masks=False)][:4] == [5, 10, 20, 25]


@pytest.mark.parametrize(
    ("config", "masks"), [(BRUSH, True), (POLYGON, True), (CONFIG, False), ("<view><brush/></view>", True)]
)
def test_whether_a_config_may_have_masks(config, masks):
    assert reader.may_have_masks(config) is masks


class TestReal:
    def test_project(self, label_studio, live):
        project, _ = make_project(label_studio, "reader project", 2)
        info = reader.read_project(live, project)
        assert (info.id, info.title, info.label_config) == (project, "reader project", CONFIG)
        assert (info.task_number, info.model_version, info.sampling) == (2, "", "Sequential sampling")
        assert info.maximum_annotations == 1
        assert reader.parse_time(info.created_at).tzinfo is not None

    def test_project_that_is_not_there(self, live):
        with pytest.raises(LabelStudioError) as caught:
            reader.read_project(live, 999_999)
        assert caught.value.status == 404

    def test_tasks_come_raw_with_their_annotations(self, label_studio, live):
        project, ids = make_project(label_studio, "reader tasks", 4)
        first = annotate(label_studio, ids[0], "dog", ground_truth=True)
        annotate(label_studio, ids[1], was_cancelled=True, result=[])
        label_studio.api("POST", f"/api/tasks/{ids[2]}/drafts", {"result": choice("cat")})
        tasks = everything(live, project)
        assert [task.id for task in tasks] == ids
        assert tasks[0].data == {"image": "s3://bucket/0.png", "mine": 0}
        assert [task.is_labeled for task in tasks] == [True, False, False, False]
        (annotation,) = tasks[0].annotations
        assert annotation.id == first["id"]
        assert annotation.completed_by == label_studio.admin.id
        assert annotation.ground_truth
        assert annotation.result[0]["value"] == {"choices": ["dog"]}
        assert reader.parse_time(annotation.created_at) <= reader.parse_time(annotation.updated_at)
        assert tasks[1].annotations[0].was_cancelled
        assert tasks[2].annotations == ()

    def test_pages_follow_ids(self, label_studio, live, monkeypatch):
        monkeypatch.setattr(reader, "PAGE", 2)
        monkeypatch.setattr(reader, "ID_PAGE", 2)
        project, ids = make_project(label_studio, "reader pages", 5)
        pages = reader.read_tasks(live, project)
        seen = [task.id for task in next(pages)]
        label_studio.api("DELETE", f"/api/tasks/{ids[0]}/")
        seen += [task.id for page in pages for task in page]
        assert seen == ids
        assert reader.read_task_ids(live, project) == set(ids[1:])

    def test_pages_of_masks_are_small_and_stay_so(self, label_studio, live, monkeypatch):
        project = label_studio.create_project("reader masks", BRUSH)
        drawn = mask_kind(BRUSH).result(blobs((60, 80), 1), 1)
        images = [{"data": {"image": f"{number}.png"}} for number in range(32)]
        for task in images[:16]:
            task["annotations"] = [{"result": drawn}]
        ids = label_studio.import_tasks(project, images)
        size = pack(drawn).size
        assert size == sum(len(region["value"]["rle"]) for region in drawn)
        monkeypatch.setattr(reader, "FIRST_PAGE", 6)
        monkeypatch.setattr(reader, "MASK_BYTES", 3 * size)
        pages = list(reader.read_tasks(live, project))
        assert [len(page) for page in pages] == [6, *[3] * 8, 2]
        tasks = [task for page in pages for task in page]
        assert [task.id for task in tasks] == ids
        assert all(task.annotations[0].result == pack(drawn) for task in tasks[:16])

    def test_imported_annotations_come_as_untouched_ground_truth(self, label_studio, live):
        project = label_studio.create_project("reader imported", CONFIG)
        label_studio.import_tasks(
            project, [{"data": {"image": "a"}, "annotations": [{"result": choice("cat")}]}]
        )
        (annotation,) = everything(live, project)[0].annotations
        assert annotation.ground_truth
        assert not marked_ground_truth(annotation)
        time.sleep(2 * UNTOUCHED.total_seconds())  # a person takes longer than an import
        label_studio.api("PATCH", f"/api/annotations/{annotation.id}/", {"ground_truth": True})
        assert marked_ground_truth(everything(live, project)[0].annotations[0])

    def test_empty_project(self, label_studio, live):
        project, _ = make_project(label_studio, "reader few", 1)
        empty = label_studio.create_project("reader empty", CONFIG)
        assert everything(live, empty) == []
        assert reader.read_task_ids(live, empty) == set()
        assert reader.read_creation_range(live, empty) is None
        assert reader.read_creation_range(live, project) is not None

    def test_only_what_changed_is_read(self, label_studio, live, monkeypatch):
        monkeypatch.setattr(reader, "OVERLAP", reader.timedelta(0))
        project, ids = make_project(label_studio, "reader since", 5)
        cursor = max(task.updated_at for task in everything(live, project))
        assert everything(live, project, since=cursor) == []
        annotation = annotate(label_studio, ids[3])
        (changed,) = everything(live, project, since=cursor)
        assert (changed.id, changed.is_labeled) == (ids[3], True)
        label_studio.api("PATCH", f"/api/annotations/{annotation['id']}/", {"result": choice("dog")})
        (changed,) = everything(live, project, since=changed.updated_at)
        assert changed.annotations[0].result[0]["value"] == {"choices": ["dog"]}
        label_studio.api("DELETE", f"/api/annotations/{annotation['id']}/")
        (changed,) = everything(live, project, since=changed.updated_at)
        assert (changed.annotations, changed.is_labeled) == ((), False)

    def test_lineups_own_writes_are_not_changes(self, label_studio, live, monkeypatch):
        monkeypatch.setattr(reader, "OVERLAP", reader.timedelta(0))
        project, ids = make_project(label_studio, "reader echo", 3)
        cursor = max(task.updated_at for task in everything(live, project))
        write_fields(live, project, "lineup_priority", dict.fromkeys(ids, 0.5))
        import_predictions(live, project, CONFIG, [Prediction(ids[0], choice("cat"), 0.5, "v1")])
        assert everything(live, project, since=cursor) == []

    def test_what_is_known_within_the_overlap_is_left_out(self, label_studio, live):
        project, ids = make_project(label_studio, "reader overlap", 4)
        known = {task.id: task.updated_at for task in everything(live, project)}
        cursor = max(known.values(), key=reader.parse_time)
        assert everything(live, project, since=cursor, known=known) == []
        annotate(label_studio, ids[1])
        assert [task.id for task in everything(live, project, since=cursor, known=known)] == [ids[1]]
        late = {task: updated for task, updated in known.items() if task != ids[2]}
        assert ids[2] in [task.id for task in everything(live, project, since=cursor, known=late)]

    def test_existing_tasks(self, label_studio, live):
        project, ids = make_project(label_studio, "reader existing", 3)
        assert reader.existing_tasks(live, project, [*ids, 999_999]) == set(ids)
        assert reader.existing_tasks(live, project, []) == set()
