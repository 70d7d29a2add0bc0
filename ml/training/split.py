"""Split a dataset: with the same share of every class, and with what belongs together on one side."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ml.datasets import DatasetError, Example, read_dataset, write_dataset
from ml.datasets.place import placed

TRAIN, VALID, CLASSES = "train_.csv", "valid_.csv", "classes.json"
_FOLDS = 20


def split_rows(
    labels: Sequence[Hashable], share: float, *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a stratified validation part.

    Parameters
    ----------
    labels : sequence, length n
    share : float
        Of the rows, for validation.
    groups : sequence, length n, optional
        Rows of one group go to the same part; shares then are as near as groups allow.
    seed : int

    Returns
    -------
    train, valid : ndarray of int
        Rows, sorted.

    Raises
    ------
    DatasetError
        If a class has a single image or group, or a part would lack a class or be empty.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

    codes = _codes(labels)
    _require_two(labels, groups)
    if groups is None:
        classes, count = len(set(labels)), round(share * len(codes))
        if count < classes or len(codes) - count < classes:
            raise DatasetError(
                f"a share of {share:g} of {len(codes)} images is too little to hold all {classes} classes on both sides"
            )
        drawn = StratifiedShuffleSplit(1, test_size=count, random_state=seed).split(codes, codes)
        train, valid = next(drawn)
        return np.sort(train), np.sort(valid)
    # many small folds, joined until they are the share: one fold of a share of .3 would be a third
    folds = max(2, min(_FOLDS, len(set(groups)), int(np.bincount(codes).max())))
    whole = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    try:
        parts = [part for _, part in whole.split(codes, codes, _codes(groups))]
    except ValueError as error:
        raise DatasetError(f"the groups cannot be split into {folds} parts: {error}") from error
    taken = min(max(round(share * folds), 1), folds - 1)
    valid = np.sort(np.concatenate(parts[:taken]))
    train = np.sort(np.concatenate(parts[taken:]))
    if lost := set(codes.tolist()) - (set(codes[train].tolist()) & set(codes[valid].tolist())):
        names = sorted(
            {str(label) for label, code in zip(labels, codes.tolist(), strict=True) if code in lost}
        )
        raise DatasetError(
            f"all groups of {', '.join(names)} fell into one part: take another --seed or share"
        )
    return train, valid


def fold_rows(
    labels: Sequence[Hashable], folds: int, *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> np.ndarray:
    """Return the stratified fold of each row, int of shape (n,).

    Where all rows of a class are of one group, or there is only one, they are in one fold, whose counterpart then has
    none of them.

    Raises
    ------
    DatasetError
        If there is only one class, or not enough images or groups for two folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    codes = _codes(labels)
    units = np.arange(len(codes)) if groups is None else _codes(groups)
    _require_classes(labels)
    # scikit-learn refuses where no class has a row for each fold
    folds = min(folds, len(np.unique(units)), int(np.bincount(codes).max()))
    if folds < 2:
        raise DatasetError(f"{len(codes)} images, none like another in class, cannot be split into folds")
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        # that a class has fewer rows than there are folds is allowed
        warnings.simplefilter("ignore", UserWarning)
        drawn = kind(folds, shuffle=True, random_state=seed).split(codes, codes, units)
        fold = np.zeros(len(codes), dtype=np.int64)
        for number, (_, rows) in enumerate(drawn):
            fold[rows] = number
    return fold


def write_split(
    examples: Sequence[Example],
    out: Path,
    share: float,
    *,
    group_column: str = "",
    seed: int = 0,
    force: bool = False,
) -> tuple[int, int]:
    """Write ``train_.csv``, ``valid_.csv`` and ``classes.json``, a mapping of class to number, into a folder.

    Parameters
    ----------
    examples : sequence of Example
        Labelled ones.
    out : Path
    share : float
        Of the images, for validation.
    group_column : str
        Column whose value says what belongs together.
    seed : int
    force : bool
        Write over an older split.

    Returns
    -------
    train, valid : int
        Images of each part.

    Raises
    ------
    DatasetError
        If it cannot be split, or there is no such column.
    FileExistsError
        If ``out`` is there and may not be written over.
    """
    groups = [_group(example, group_column) for example in examples] if group_column else None
    labels = [str(example.label) for example in examples]
    parts = split_rows(labels, share, groups=groups, seed=seed)
    classes = {name: number for number, name in enumerate(sorted(set(labels)))}
    with placed(out, force=force) as draft:
        draft.mkdir()
        for name, rows in zip((TRAIN, VALID), parts, strict=True):
            # the draft stands beside the folder it becomes, so relative paths are the same
            write_dataset([_absolute(examples[row]) for row in rows.tolist()], draft / name)
        text = json.dumps(classes, ensure_ascii=False, indent=1)
        (draft / CLASSES).write_text(text + "\n", encoding="utf-8")
    return len(parts[0]), len(parts[1])


def read_split(folder: Path) -> tuple[list[Example], list[Example]] | None:
    """Return the parts that `write_split` wrote, None where a folder has none."""
    if not (folder / TRAIN).is_file() or not (folder / VALID).is_file():
        return None
    train, valid = (read_dataset(folder / name).examples for name in (TRAIN, VALID))
    return train, valid


def _codes(values: Sequence[Hashable]) -> np.ndarray:
    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(value, len(places)) for value in values], dtype=np.int64)


def _require_classes(labels: Sequence[Hashable]) -> None:
    kinds = set(labels)
    if len(kinds) < 2:
        what = f"only one class, {next(iter(kinds))}" if kinds else "no labelled image"
        raise DatasetError(f"the dataset has {what}: there must be at least two")


def _require_two(labels: Sequence[Hashable], groups: Sequence[Hashable] | None) -> None:
    _require_classes(labels)
    if groups is None:
        counts, unit = Counter(labels), "image"
    else:
        counts, unit = Counter(label for label, _ in set(zip(labels, groups, strict=True))), "group"
    if single := sorted(str(label) for label, count in counts.items() if count < 2):
        shown = ", ".join(single[:10]) + (f" and {len(single) - 10} more" if len(single) > 10 else "")
        raise DatasetError(
            f"classes with one {unit} cannot be on both sides of a split: {shown}. Label more of them, or leave them "
            "out with --min-images 2"
        )


def _group(example: Example, column: str) -> str:
    if column not in example.more:
        has = ", ".join(example.more) or "none besides image and label"
        raise DatasetError(f"{example.where}: has no column {column!r} to group by; columns: {has}")
    return str(example.more[column])


def _absolute(example: Example) -> Example:
    return replace(example, path=example.path.absolute()) if example.path else example
