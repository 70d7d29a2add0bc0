"""Tasks as Label Studio's JSON export has them."""

from __future__ import annotations

from typing import Any

from backend.export.rows import ExportRow
from backend.labelstudio.choices import ChoicesKind
from backend.labelstudio.multilabel import MultiLabelKind

KIND = ChoicesKind("pet", "image", "image", ("cat", "dog"))
MANY = MultiLabelKind("pet", "image", "image", ("cat", "dog"))


def annotation(*labels: str, number: int = 1, by: int = 3, **more: Any) -> dict[str, Any]:
    """An annotation that chooses these classes."""
    value = {"choices": list(labels)}
    result = [{"from_name": "pet", "to_name": "image", "type": "choices", "value": value}]
    return {
        "id": number,
        "completed_by": by,
        "ground_truth": False,
        "was_cancelled": False,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "updated_at": f"2026-01-01T00:00:0{number}.000000Z",
        "result": result,
        **more,
    }


def task(number: int, *annotations: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A task with Lineup's fields given by name, without prefix."""
    data = {"image": f"/data/upload/1/{number}.png"} | {
        f"lineup_{name}": value for name, value in fields.items()
    }
    return {
        "id": number,
        "data": data,
        "annotations": list(annotations),
        "updated_at": "2026-01-02T00:00:00Z",
    }


def row(number: int = 1, **more: Any) -> ExportRow:
    """An exported row."""
    values: dict[str, Any] = {
        "image": f"/data/upload/1/{number}.png",
        "label": "cat",
        "given": "cat",
        "suspicion": 0.1,
        "suggestion": "cat",
        "confidence": 0.9,
        "status": "kept",
        "annotator": "ann@example.com",
        "task": number,
    }
    return ExportRow(**{**values, **more})
