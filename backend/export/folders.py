"""A folder a class with the image files in it, as `torchvision.datasets.ImageFolder` reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from backend.export.rows import ExportRow
from backend.labelstudio.fetch import ImageFetchError

# its presence tells that a folder was written by an export, and may be replaced by another one
MARKER = ".lineup-export"
_UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|%]|^\.|[. ]$')
_EXTENSION = re.compile(r"^\.[A-Za-z0-9]{1,5}$")
_MAGIC = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


def write(rows: Sequence[ExportRow], out: Path, fetch: Callable[[ExportRow], bytes]) -> list[str]:
    """Copy every row's image to ``out/<label>/<task id>-<name>``.

    Returns
    -------
    list of str
        A line for each image that cannot be fetched; the others are written all the same.

    Raises
    ------
    ValueError
        If tasks may have several classes: an image in several folders would be several images to who reads them.
    """
    out.mkdir()
    (out / MARKER).touch()
    left_out = []
    for row in rows:
        if not isinstance(row.label, str):
            raise ValueError(
                "the format folders has one class an image, and the tasks of this project have any number: "
                "take --format jsonl, json or csv"
            )
        try:
            data = fetch(row)
        except ImageFetchError as error:
            left_out.append(str(error))
            continue
        folder = out / folder_name(row.label)
        folder.mkdir(exist_ok=True)
        (folder / file_name(row, data)).write_bytes(data)
    return left_out


def folder_name(label: str) -> str:
    """Return a class name as a folder name: unsafe characters become ``%XX``, no two classes share one."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", label) or "%"


def file_name(row: ExportRow, data: bytes) -> str:
    """Return a row's file name: the task id and the image's own name, with an extension that fits."""
    if row.image.startswith("data:"):
        own = PurePosixPath("image")
    else:
        parts = urlsplit(row.image)
        # a local-files URI has the path in its query
        own = PurePosixPath(parse_qs(parts.query).get("d", [unquote(parts.path)])[0])
    extension = own.suffix.lower()
    if not _EXTENSION.match(extension):
        extension = next((ext for magic, ext in _MAGIC.items() if data.startswith(magic)), ".img")
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", own.stem).strip("._")[:80] or "image"
    return f"{row.task}-{stem}{extension}"
