"""Where the files of an audit go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ml.datasets.example import Dataset, DatasetError
from ml.datasets.place import refuse_overwrite

CORRECTED_LABELS = "corrected_labels.jsonl"
_OVER = "the audit of {} would be written over it: choose another --out"


@dataclass(frozen=True)
class Places:
    """The folder of the report and tables, and the file of corrected labels.

    Attributes
    ----------
    folder : Path
    corrected : Path
        Beside the dataset, or in the folder.
    """

    folder: Path
    corrected: Path

    @classmethod
    def of(cls, source: Path, out: Path | None) -> Places:
        """Return where to write: into ``out``, or beside the dataset where that is None."""
        if out is not None:
            return cls(out, out / CORRECTED_LABELS)
        source = source.absolute()
        name = source.stem if source.is_file() else source.name
        return cls(source.with_name(f"{name}-audit"), source.with_name(CORRECTED_LABELS))

    @property
    def inside(self) -> bool:
        """Whether the corrected labels are in the folder."""
        return self.corrected.parent == self.folder

    def check(self, dataset: Dataset, *, force: bool) -> None:
        """See that nothing is written over, before any work is done.

        Raises
        ------
        FileExistsError
            As `ml.datasets.place.refuse_overwrite`; whatever ``force`` says, if the corrected labels that are there are
            of another dataset in the same folder.
        DatasetError
            If the dataset itself is where the audit is to be written.
        """
        if dataset.source.resolve() == self.corrected.resolve():
            raise DatasetError(_OVER.format(dataset.source))
        self.check_folder(dataset.source, (one.path for one in dataset), force=force)
        if not self.inside and self.corrected.exists() and not self.folder.exists():
            others = sorted(path.name for path in self.folder.parent.glob("*-audit") if path.is_dir())
            raise FileExistsError(
                f"{self.corrected} is of another audit ({', '.join(others) or 'its folder is gone'}), not of "
                f"{dataset.source}, which has no folder {self.folder.name} yet: choose an --out for this one"
            )
        refuse_overwrite(self.corrected, force=force)

    def check_folder(self, source: Path, images: Iterable[Path | None], *, force: bool) -> None:
        """The same of the folder alone.

        Raises
        ------
        FileExistsError, DatasetError
            As `check`.
        """
        folder = self.folder.resolve()
        files = (path.resolve() for path in images if path) if folder.exists() else ()
        if source.resolve().is_relative_to(folder) or any(file.is_relative_to(folder) for file in files):
            raise DatasetError(_OVER.format(source))
        refuse_overwrite(self.folder, force=force)
