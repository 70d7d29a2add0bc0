"""From the name or URI in a list to the image's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

SUFFIXES = frozenset(
    (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)


def is_uri(name: str) -> bool:
    """Tell whether a name is a URI or a path of Label Studio's, rather than one of this machine."""
    return "://" in name or name.startswith(("data:", "/data/upload/", "/data/local-files/"))


def path_of(uri: str) -> PurePosixPath:
    """Return the path in a URI; of Label Studio's local files, that below their root."""
    parts = urlsplit(uri)
    found = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    return PurePosixPath(found.lstrip("/"))


def find_image(name: str, folders: list[Path]) -> Path | None:
    """Return the file an image's name stands for, or None.

    Parameters
    ----------
    name : str
        A path, absolute or relative to one of the folders, or a URI: its path, or the end of it, is looked for
        below the folders.
    folders : list of Path
        Tried in order.
    """
    try:
        return next((path for path in _candidates(name, folders) if path.is_file()), None)
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        return None


def list_images(folder: Path) -> Iterator[Path]:
    """Yield the image files below a folder by their extension, sorted, hidden ones left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def _candidates(name: str, folders: list[Path]) -> Iterator[Path]:
    if not is_uri(name):
        for folder in folders:
            yield folder / name
            if "\\" in name:  # lists that were made on Windows
                yield folder / name.replace("\\", "/")
        return
    if name.startswith("data:"):
        return
    parts = path_of(name).parts
    if ".." in parts:  # a task may come from anybody: it names nothing outside the folders
        return
    for start in range(len(parts)):
        for folder in folders:
            yield folder.joinpath(*parts[start:])
