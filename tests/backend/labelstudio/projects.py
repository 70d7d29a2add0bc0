"""Projects for the tests that drive a real Label Studio."""

from __future__ import annotations

from typing import Any

CONFIG = (
    '<View><Image name="img" value="$image"/><Choices name="kind" toName="img">'
    '<Choice value="cat"/><Choice value="dog"/><Choice value="A bird" alias="bird"/></Choices></View>'
)

MANY = CONFIG.replace("<Choices ", '<Choices choice="multiple" ')


def choice(label: str) -> list[dict[str, Any]]:
    """Return an annotation's result."""
    return [{"from_name": "kind", "to_name": "img", "type": "choices", "value": {"choices": [label]}}]


def choices(*labels: str) -> list[dict[str, Any]]:
    """Return an annotation's result that chooses any number of classes; none leaves no trace in Label Studio."""
    [region] = choice("")
    return [{**region, "value": {"choices": list(labels)}}] if labels else []


def make_project(label_studio: Any, title: str, n: int) -> tuple[int, list[int]]:
    """Make a project with ``n`` unlabelled tasks; return its id and theirs."""
    project = label_studio.create_project(title, CONFIG)
    tasks = [{"data": {"image": f"s3://bucket/{number}.png", "mine": number}} for number in range(n)]
    return project, label_studio.import_tasks(project, tasks)


def annotate(label_studio: Any, task: int, label: str = "cat", **more: Any) -> dict[str, Any]:
    """Submit an annotation."""
    answer: dict[str, Any] = label_studio.api(
        "POST", f"/api/tasks/{task}/annotations/", {"result": choice(label), **more}
    )
    return answer
