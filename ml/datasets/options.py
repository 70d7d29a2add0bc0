"""How a dataset is to be read and written, where its format leaves that open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ml.datasets.example import Example

ReadImage = Callable[[Example], bytes]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """For readers.

    Attributes
    ----------
    images : Path or None
        Folder that image names are relative to; where it has none of the name, or None: the file's own folder.
    image_column, label_column : str
        Columns of a CSV file, or the image's field in Label Studio's tasks; empty: the usual names.
    """

    images: Path | None = None
    image_column: str = ""
    label_column: str = ""

    def folders(self, *own: Path) -> list[Path]:
        """Return where to look for an image, in order, of a file whose own folders these are."""
        return [*([self.images] if self.images else []), *own]


def read_file(example: Example) -> bytes:
    """Return the bytes of an image on disk.

    Raises
    ------
    ValueError
        If the example has a URI only.
    OSError
        If the file cannot be read.
    """
    if example.path is None:
        raise ValueError(f"{example.where}: {example.image} is not a file on this machine")
    return example.path.read_bytes()


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """For writers.

    Attributes
    ----------
    read_image : callable
        Returns the bytes of an image, for formats that hold images.
    document_root : Path or None
        The folder Label Studio serves as local files (LOCAL_FILES_SERVING document root), for its tasks.
    """

    read_image: ReadImage = read_file
    document_root: Path | None = None
