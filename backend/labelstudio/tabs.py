"""What Lineup's two Data Manager tabs look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# what Lineup keeps; everything else in a tab belongs to the people who look at it
KEPT = ("title", "ordering", "filters")


@dataclass(frozen=True)
class TabSpec:
    """One tab: which task field orders it, and whether it shows labelled or unfinished tasks."""

    key: str
    title: str
    order_by: str
    labelled: bool


LABEL_NEXT = TabSpec("label_next", "Label next", "priority", labelled=False)
REVIEW_SUSPECTS = TabSpec("review_suspects", "Review suspects", "suspicion", labelled=True)
TABS = (LABEL_NEXT, REVIEW_SUSPECTS)

_NUMBERS = ("priority", "suspicion", "confidence")
_HIDDEN = (
    "tasks:inner_id",
    "tasks:cancelled_annotations",
    "tasks:total_predictions",
    "tasks:annotations_ids",
    "tasks:annotations_results",
    "tasks:predictions_score",
    "tasks:predictions_model_versions",
    "tasks:predictions_results",
    "tasks:file_upload",
    "tasks:storage_filename",
    "tasks:created_at",
    "tasks:updated_at",
    "tasks:updated_by",
    "tasks:avg_lead_time",
    "tasks:draft_exists",
)


def wanted_tab(spec: TabSpec, prefix: str, threshold: float) -> dict[str, Any]:
    """Return the tab's ``data`` as Label Studio takes it."""
    # completed_at is empty exactly while the task is not is_labeled, so it heeds overlap and skips
    items: list[dict[str, Any]] = [
        {
            "filter": "filter:tasks:completed_at",
            "operator": "empty",
            "type": "Datetime",
            "value": not spec.labelled,
        }
    ]
    if spec.labelled:
        items.append(
            {
                "filter": f"filter:tasks:data.{prefix}suspicion",
                "operator": "greater_or_equal",
                "type": "Number",
                "value": round(threshold, 4),
            }
        )
    unused = ("suspicion", "reason") if not spec.labelled else ("priority",)
    hidden = [*_HIDDEN, *(f"tasks:data.{prefix}{name}" for name in unused)]
    if not spec.labelled:
        hidden += ["tasks:completed_at", "tasks:total_annotations", "tasks:annotators"]
    return {
        "title": spec.title,
        "type": "list",
        "target": "tasks",
        "ordering": [f"-tasks:data.{prefix}{spec.order_by}"],
        "filters": {"conjunction": "and", "items": items},
        # without it the Data Manager would order by the field's text
        "columnsDisplayType": {f"tasks:data.{prefix}{name}": "Number" for name in _NUMBERS},
        "hiddenColumns": {"explore": hidden, "labeling": hidden},
    }


def significant(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a tab's ``data`` that Lineup compares, in one normal form.

    Label Studio adds ids and indices to filters and drops empty values; numbers may come back as text.
    """
    filters = data.get("filters") or {}
    items = [
        [str(item.get(name)) for name in ("filter", "operator", "type")] + [_value(item.get("value"))]
        for item in filters.get("items") or []
    ]
    return {
        "title": data.get("title"),
        "ordering": list(data.get("ordering") or []),
        "filters": [filters.get("conjunction"), items],
    }


def up_to_date(data: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether a tab has Lineup's part as wanted."""
    display = data.get("columnsDisplayType") or {}
    return (
        significant(data) == significant(wanted) and wanted["columnsDisplayType"].items() <= display.items()
    )


def patched(data: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tab's ``data`` with Lineup's part as wanted and all else kept; a PATCH replaces the whole."""
    display = {**(data.get("columnsDisplayType") or {}), **wanted["columnsDisplayType"]}
    return {**data, **{key: wanted[key] for key in KEPT}, "columnsDisplayType": display}


def is_ours(data: Mapping[str, Any], spec: TabSpec, prefix: str) -> bool:
    """Tell whether a tab is one that Lineup made: its title, ordered by Lineup's field."""
    return data.get("title") == spec.title and list(data.get("ordering") or []) == [
        f"-tasks:data.{prefix}{spec.order_by}"
    ]


def _value(value: object) -> str:
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return str(value).lower()
    try:
        return f"{float(value):.6f}"  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)
