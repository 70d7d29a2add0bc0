"""Images with masks on disk, in and out of the formats people have them in."""

from __future__ import annotations

from pathlib import Path

from ml.datasets.example import DatasetError, Problem, list_problems, unusable
from ml.datasets.place import placed
from ml.mask_sets.formats import FORMATS, find_format, format_of
from ml.mask_sets.options import MaskReadOptions, MaskWriteOptions
from ml.mask_sets.scene import MaskSet, Scene
from ml.mask_sets.writing import Progress, Written

__all__ = [
    "FORMATS",
    "MaskReadOptions",
    "MaskSet",
    "MaskWriteOptions",
    "Scene",
    "Written",
    "format_of",
    "read_masks",
    "write_masks",
]


def read_masks(
    path: Path, *, format: str = "", options: MaskReadOptions | None = None, skip_problems: bool = False
) -> MaskSet:
    """Read a set of masks, but for the masks themselves: `MaskSet.mask` reads one.

    Parameters
    ----------
    path : Path
        A file, or a folder.
    format : str
        One of `FORMATS`; empty: what it looks like.
    options : MaskReadOptions, optional
    skip_problems : bool
        Leave out what cannot be used, and name it in ``problems``, instead of refusing it all.

    Raises
    ------
    DatasetError
        If it is of no known format, has no image with a mask, or has problems that are not skipped.
    OSError
        If it is not there or cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    chosen = find_format(format) if format else format_of(path)
    if chosen is None:
        raise DatasetError(f"{path} looks like no masks ({', '.join(FORMATS)}): say which with --from")
    try:
        found = chosen.read(path, options or MaskReadOptions())
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not text in UTF-8: {error}") from error
    if found.problems and not skip_problems:
        refuse(found, found.problems)
    if not found.scenes:
        what = f":\n{list_problems(found.problems)}" if found.problems else ""
        raise DatasetError(f"{path}, read as {chosen.NAME}, has no image with a mask{what}")
    return found


def write_masks(
    found: MaskSet,
    out: Path,
    *,
    format: str,
    options: MaskWriteOptions | None = None,
    skip_problems: bool = False,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Written:
    """Write a set of masks in another format, whole or not at all, and tell what is lost by it.

    Masks are read, written and compared one at a time.

    Parameters
    ----------
    found : MaskSet
    out : Path
        File or folder.
    format : str
        One of `FORMATS`.
    options : MaskWriteOptions, optional
    skip_problems : bool
        Leave out masks that are broken, and name them, instead of writing nothing.
    force : bool
        Write over a file, or over a folder that was written like this.
    progress : callable
        Called with the number of masks done, and of all.

    Raises
    ------
    DatasetError
        If the format is unknown, cannot hold an image, or masks are broken and not skipped.
    FileExistsError
        If ``out`` is there and may not be written over.
    """
    chosen = find_format(format)
    given = options or MaskWriteOptions()
    here = MaskWriteOptions(given.tolerance, given.document_root, out.absolute().parent)
    written = Written(progress=progress)
    with placed(out, force=force) as draft:
        chosen.write(found, draft, here, written)
        if written.problems and not skip_problems:
            refuse(found, written.problems)
        if not written.count:
            raise DatasetError(f"{found.source}: no mask can be written:\n{list_problems(written.problems)}")
    return written


def refuse(found: MaskSet, problems: list[Problem], of: int | None = None) -> None:
    """Raise the error that names problems: those of so many images, or of all.

    Raises
    ------
    DatasetError
        Always.
    """
    count = len(found) + len(found.problems) if of is None else of
    raise DatasetError(f"{found.source}: {unusable(problems, count)}")
