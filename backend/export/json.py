"""One JSON array of objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from backend.export.rows import ExportRow


def write(rows: Sequence[ExportRow], out: Path, fetch: Callable[[ExportRow], bytes]) -> list[str]:
    """Write ``out``; images stay where they are."""
    text = json.dumps([row.as_dict() for row in rows], ensure_ascii=False, indent=1)
    out.write_text(text + "\n", encoding="utf-8")
    return []
