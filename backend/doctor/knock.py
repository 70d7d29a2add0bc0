"""How `lineup doctor` recognises Lineup's own server behind a call from Label Studio.

The doctor leaves an empty file with a name nobody can guess in ``MODEL_DIR`` and has Label Studio pass the name on. The
server that finds the file takes it away and refuses, so that Label Studio connects nothing. Where the file is still
there, nobody was asked, or a server with another ``MODEL_DIR``.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.doctor.folder import standing

PARAMETER = "lineup_doctor"
# an answer that no ML backend gives to /setup for another reason
REFUSED = 409
_NAME = re.compile(r"[0-9a-f]{32}")


@contextmanager
def knocking(model_dir: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """Leave the file; yield the parameters for ``/setup`` and its path, and take it away at the end."""
    with standing(model_dir):
        name = secrets.token_hex(16)
        path = _path(model_dir, name)
        path.touch()
        try:
            yield {PARAMETER: name}, path
        finally:
            path.unlink(missing_ok=True)


def is_knock(extra_params: Any) -> bool:
    """Tell whether the parameters of a ``/setup`` are those of the doctor."""
    return isinstance(extra_params, dict) and PARAMETER in extra_params


def answer_knock(model_dir: Path, extra_params: dict[str, Any]) -> bool:
    """Take the doctor's file away; return whether it was there."""
    name = extra_params[PARAMETER]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return False
    path = _path(model_dir, name)
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def _path(model_dir: Path, name: str) -> Path:
    return model_dir / f".doctor-{name}"
