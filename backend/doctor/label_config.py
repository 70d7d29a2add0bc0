"""Can Lineup learn what the project asks?"""

from __future__ import annotations

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok
from backend.labelstudio.config import find_kind
from backend.labelstudio.elements import UnsupportedConfig


def check_label_config(context: Context) -> Outcome:
    """See that the label config describes a kind of problem Lineup knows."""
    try:
        kind = find_kind(context.info.label_config)
    except UnsupportedConfig as error:
        return failure(str(error), "Change it in Label Studio: Settings, Labeling Interface")
    return ok(f"{kind.name}: {len(kind.classes)} classes, images in the field {kind.data_key!r}")
