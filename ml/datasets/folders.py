"""A folder a class with the image files in it, as `torchvision.datasets.ImageFolder` reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.find import is_uri, list_images, path_of
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.place import MARKER

NAME = "folders"
HOLDS_PATHS = False
_UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|%]|^\.|[. ]$')
_EXTENSION = re.compile(r"^\.[A-Za-z0-9]{1,5}$")
_MAGIC = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


def sniff(path: Path) -> bool:
    """Tell whether a folder holds folders or images."""
    return path.is_dir()


def read(path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
    """Yield an example for every image below a class's folder, and one without a label for those in no folder."""
    escaped = (path / MARKER).exists()
    for image in list_images(path):
        inside = image.relative_to(path)
        label = inside.parts[0] if len(inside.parts) > 1 else None
        if label and escaped:
            label = unquote(label)
        yield Example(inside.as_posix(), label, image, inside.as_posix())


def write(examples: Iterable[Example], out: Path, options: WriteOptions) -> list[Problem]:
    """Copy every image to ``out/<label>/``, those without a label to ``out`` itself.

    Returns
    -------
    list of Problem
        A line for each image that cannot be read; the others are written all the same.

    Raises
    ------
    DatasetError
        If an image has several classes: in several folders it would be several images to who reads them.
    """
    out.mkdir()
    left_out = []
    for example in examples:
        if isinstance(example.label, list):
            raise DatasetError(
                "the format folders has one class an image, and these may have any number: take jsonl, json or csv"
            )
        try:
            data = options.read_image(example)
        except (OSError, ValueError) as error:
            left_out.append(Problem(example.where, str(error)))
            continue
        folder = out / folder_name(example.label) if example.label else out
        folder.mkdir(exist_ok=True)
        free_path(folder, file_name(example, data)).write_bytes(data)
    return left_out


def folder_name(label: str) -> str:
    """Return a class name as a folder name: unsafe characters become ``%XX``, no two classes share one."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", label) or "%"


def file_name(example: Example, data: bytes) -> str:
    """Return an image's file name: its own, without its folders, after its task's id, with an extension that fits."""
    if example.image.startswith("data:"):
        own = PurePosixPath("image")
    else:
        own = path_of(example.image) if is_uri(example.image) else PurePosixPath(example.image)
    extension = own.suffix.lower()
    if not _EXTENSION.match(extension):
        extension = next((ext for magic, ext in _MAGIC.items() if data.startswith(magic)), ".img")
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", own.stem).strip("._")[:80] or "image"
    task = f"{example.more['task']}-" if "task" in example.more else ""
    return f"{task}{stem}{extension}"


def free_path(folder: Path, name: str) -> Path:
    """Return a path in the folder that is not taken yet: images of different folders may have the same name."""
    path, number = folder / name, 2
    while path.exists():
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return path
