"""Pyramids on disk, one file for each content."""

from __future__ import annotations

import re
from pathlib import Path

from ml.segmentation.pyramid import Pyramid
from ml.whole_files import read_whole, write_whole

MOST_BYTES = 16_000_000  # a pyramid of 320 pixels has a fiftieth of that
_KEY = re.compile(r"[0-9a-f]{8,128}")
_SUFFIX = ".pyramid"


class PyramidStore:
    """Pyramids of one kind of features, keyed by image content; any number of processes may use a folder.

    Parameters
    ----------
    folder : Path
        Of all kinds; this one lives in ``folder / fingerprint``.
    fingerprint : str
        Of the `PixelFeatures`, safe as a file name.

    Raises
    ------
    ValueError
        If the fingerprint is no name of a folder.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        if not fingerprint or Path(fingerprint).name != fingerprint or fingerprint.startswith("."):
            raise ValueError(f"fingerprint {fingerprint!r} cannot be a folder's name")
        self.fingerprint = fingerprint
        self.folder = folder / fingerprint

    def has(self, key: str) -> bool:
        """Whether a content's pyramid is there."""
        return self._path(key).is_file()

    def get(self, key: str) -> Pyramid | None:
        """Return a content's pyramid, None where it is not there. A damaged file is removed, and the log says so."""
        return read_whole(self._path(key), Pyramid.from_bytes)

    def put(self, key: str, pyramid: Pyramid) -> None:
        """Keep a content's pyramid: the file is there in whole or not at all.

        Raises
        ------
        ValueError
            If it is too large to be kept for thousands of images.
        OSError
            If it cannot be written.
        """
        content = pyramid.to_bytes()
        if len(content) > MOST_BYTES:
            raise ValueError(
                f"the features of an image take {len(content) / 1e6:.0f} MB, more than the {MOST_BYTES / 1e6:.0f} "
                "that are kept: take a smaller side"
            )
        write_whole(self._path(key), content)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not the key of a content")
        return self.folder / key[:2] / (key + _SUFFIX)
