"""What a person sees in Label Studio: Lineup's tabs, columns and order, and a pre-annotated next task."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from demo.annotator import Reviewer, chosen
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.e2e.browser import Person, chromium
from tests.e2e.project import DigitsProject, make_project

ROWS = "[data-testid=table-row]"
CHOSEN = ".ant-checkbox-wrapper-checked"
TASK_ID = ".lsf-current-task__task-id"


@pytest.fixture(scope="module")
def project(label_studio: LabelStudioServer, lineup: LineupServer) -> DigitsProject:
    made = make_project(label_studio, "Handwritten digits", size=300, labelled=150)
    since = time.time()
    lineup.connect(made.id)
    lineup.wait(made.id, since=since)
    return made


@pytest.fixture(scope="module")
def person(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        someone = Person(page, label_studio)
        someone.sign_in()
        yield someone


def shown_tasks(person: Person) -> list[int]:
    """Ids of the rows in the table, from the top."""
    boxes = person.page.find_elements("css selector", f"{ROWS} input[aria-label^='Select Task']")
    return [int((box.get_attribute("aria-label") or "").split()[-1]) for box in boxes]


def task_at_work(person: Person) -> int | None:
    """Id of the task in the editor; below it stands which annotation of how many is shown."""
    lines = [text.splitlines()[0] for text in person.texts(TASK_ID) if text]
    return int(lines[0]) if lines else None


def open_tab(person: Person, project: DigitsProject, title: str) -> list[int]:
    """Open a tab by its name and return the tasks it must show, in order."""
    wanted = [task["id"] for task in Reviewer(project.server, project.id, project.truth).tasks(title)]
    person.page.get(f"{project.server.url}/projects/{project.id}/data")
    person.wait(
        lambda: {"Label next", "Review suspects"} <= set(person.texts("[role=tab]")),
        "Lineup's tabs are missing",
    )
    person.click("[role=tab]", title)
    person.wait(
        lambda: shown_tasks(person)[:1] == wanted[:1], f"{title} does not begin with task {wanted[:1]}"
    )
    return wanted


@pytest.mark.parametrize(
    ("title", "columns", "picture"),
    [
        ("Review suspects", {"lineup_suspicion", "lineup_suggestion", "lineup_reason"}, "review-suspects"),
        ("Label next", {"lineup_priority", "lineup_suggestion", "lineup_confidence"}, "label-next"),
    ],
)
def test_tabs_show_lineups_columns_in_the_right_order(
    person: Person, project: DigitsProject, title: str, columns: set[str], picture: str
) -> None:
    wanted = open_tab(person, project, title)
    rows = shown_tasks(person)
    assert len(rows) > 3
    assert rows == wanted[: len(rows)]
    assert columns <= set(person.texts(".lsf-th-content"))
    person.picture(picture)


def test_label_all_tasks_opens_the_highest_priority_with_its_pre_annotation_selected(
    person: Person, project: DigitsProject
) -> None:
    wanted = open_tab(person, project, "Label next")
    person.click("button", "Label All Tasks")
    checked = person.wait(lambda: person.texts(CHOSEN), "nothing is selected")
    person.wait(
        lambda: task_at_work(person) == wanted[0],
        f"the task served is not the one with the highest priority, {wanted[0]}",
    )
    first = project.task(wanted[0])
    stored = [p for p in first["predictions"] if p["model_version"] == project.served_version()]
    # the editor shows a choice with its hotkey behind it: 8[9]
    assert [text.split("[")[0] for text in checked] == [chosen(stored[0]["result"])]
    assert first["data"]["lineup_suggestion"] == chosen(stored[0]["result"])
    person.picture("pre-annotated")


def test_submitting_brings_the_next_task_pre_annotated_too(person: Person, project: DigitsProject) -> None:
    wanted = open_tab(person, project, "Label next")
    person.click("button", "Label All Tasks")
    person.wait(lambda: person.texts(CHOSEN), "nothing is selected")
    person.click("button", "Submit")
    second = person.wait(
        lambda: task_at_work(person) not in (None, wanted[0]) and task_at_work(person),
        "no further task is served",
    )
    person.wait(lambda: person.texts(CHOSEN), f"task {second} is not pre-annotated")
    assert second in wanted
    assert project.task(wanted[0])["is_labeled"]
