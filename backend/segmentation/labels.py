"""Masks of annotations at work size: decoded once, then a small file each."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.labelstudio.mask_label import MaskLabel
from backend.labelstudio.segmentation import SegmentationKind
from ml.masks.png import read_png, write_png
from ml.segmentation.sizes import shrink_mask, work_size

FOLDER = "masks"


@dataclass(frozen=True)
class MaskFiles:
    """The masks of one project.

    Attributes
    ----------
    root : Path
        Of the project's masks, whatever its label config was.
    kind : SegmentationKind
    """

    root: Path
    kind: SegmentationKind

    @property
    def folder(self) -> Path:
        """Of the masks of this label config: another one numbers the classes differently."""
        return self.root / self.kind.digest[:16]

    def has(self, label: MaskLabel, key: str) -> bool:
        """Tell whether a label's mask on the image of a content is there."""
        return self._path(label, key).is_file()

    def decode(self, label: MaskLabel, key: str, shape: tuple[int, int]) -> None:
        """Make the file of a label's mask.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the image, upright, in full.

        Raises
        ------
        MaskError
            If the label does not fit the image.
        """
        mask = shrink_mask(self.kind.mask(label, shape), work_size(*shape))
        path = self._path(label, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            draft.write_bytes(write_png(mask))
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def get(self, label: MaskLabel, key: str) -> np.ndarray:
        """Return the index mask of a label at work size, shape (h, w).

        Raises
        ------
        FileNotFoundError
            If it has not been decoded.
        """
        return read_png(self._path(label, key).read_bytes())

    def keep_only(self, labels: Collection[tuple[MaskLabel, str]]) -> None:
        """Delete the masks of other labels and of other label configs."""
        if not self.root.is_dir():
            return
        for path in self.root.iterdir():
            if path != self.folder:
                shutil.rmtree(path)
        wanted = {self._path(label, key) for label, key in labels}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path not in wanted:
                path.unlink()

    def _path(self, label: MaskLabel, key: str) -> Path:
        return self.folder / f"{label.digest}-{key}.png"
