"""Small files that many processes read and write: there in whole or not at all; a damaged one can be made again."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: whoever reads it finds what was there or ``content``; its folder is created.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_whole(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """Return what ``parse`` makes of a file that can be made again; None where it is not there.

    A power cut tears what was being written: where ``parse`` raises ValueError the file is removed, as the log says.
    """
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        log.warning("%s is damaged and removed, it has to be made again: %s", path, error)
        path.unlink(missing_ok=True)
        return None
