"""Masks of annotations at work size: decoded once, then a small file each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.labelstudio.mask_label import MaskLabel
from backend.labelstudio.segmentation import SegmentationKind
from ml.masks.png import read_png, write_png
from ml.segmentation.sizes import shrink_mask, work_size
from ml.whole_files import read_whole, write_whole

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

    def decode(self, label: MaskLabel, key: str, shape: tuple[int, int]) -> np.ndarray:
        """Make the file of a label's mask; return the mask as `mask` does.

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
        write_whole(self._path(label, key), write_png(mask))
        return mask

    def mask(self, label: MaskLabel, key: str, shape: Callable[[], tuple[int, int]]) -> np.ndarray:
        """Return the index mask of a label at work size, shape (h, w), decoded where it is not there or damaged.

        Parameters
        ----------
        shape : callable
            Returns height and width of the image; called where the mask has to be decoded.

        Raises
        ------
        MaskError
            If the label does not fit the image.
        """
        found = read_whole(self._path(label, key), read_png)
        return self.decode(label, key, shape()) if found is None else found

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
