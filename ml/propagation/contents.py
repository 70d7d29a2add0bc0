"""Images of equal content among what is labelled: one is enough, and two labels of one image cannot both be right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from ml.datasets.embedding import Embedded
from ml.datasets.example import DatasetError, Example, Problem, list_problems


def one_of_each(labelled: Embedded, *, skip_problems: bool = False) -> Embedded:
    """Return labelled images, each content once.

    A copy among the neighbours that vote on an image would vouch for it.

    Parameters
    ----------
    labelled : Embedded
    skip_problems : bool
        Leave out images that have different labels in different places.

    Raises
    ------
    DatasetError
        If there are such, and they are not skipped.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(labelled.keys):
        rows_of[key].append(row)
    problems = []
    kept = []
    for rows in rows_of.values():
        first = labelled.examples[rows[0]]
        others = [labelled.examples[row] for row in rows[1:]]
        other = next((one for one in others if one.label != first.label), None)
        if other is None:
            kept.append(rows[0])
        else:
            what = f"{first.image} is {first.label!r} here, and {other.label!r} in {other.where}"
            problems.append(Problem(first.where, what))
    if problems and not skip_problems:
        raise DatasetError(
            f"{len(problems)} images have two labels. Mend them, or leave them out with --skip-problems:\n"
            f"{list_problems(problems)}"
        )
    found = labelled.take(np.array(kept, dtype=np.int64))
    return replace(found, problems=[*labelled.problems, *problems])


def copies(images: Embedded, labelled: Embedded, pool: Embedded) -> list[Example]:
    """Return the images that are copies, by content, of labelled ones or of some in the pool.

    Parameters
    ----------
    images : Embedded
        All there are.
    labelled : Embedded
    pool : Embedded
        Some of the same examples, each content once.
    """
    chosen = set(map(id, pool.examples))
    files = {str(one.path.absolute()) for one in labelled.examples if one.path}
    return [
        one
        for one in images.examples
        if id(one) not in chosen and not (one.path and str(one.path.absolute()) in files)
    ]
