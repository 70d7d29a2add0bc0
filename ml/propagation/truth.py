"""How right labels are, where the truth of images is known."""

from __future__ import annotations

from collections.abc import Sequence

from ml.datasets.embedding import Embedded


def share_right(keys: Sequence[str], labels: Sequence[str], truth: Embedded) -> float | None:
    """Return the share of right labels among the images whose truth is known, None where none is.

    Parameters
    ----------
    keys : sequence of str
        Content digests of the images.
    labels : sequence of str
    truth : Embedded
        Images with their true labels; matched by content.
    """
    true = {key: example.label for key, example in zip(truth.keys, truth.examples, strict=True)}
    known = [label == true[key] for key, label in zip(keys, labels, strict=True) if key in true]
    return sum(known) / len(known) if known else None
