"""Vectors of a project's images by another backbone, made beside the loop: the snapshot stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from backend.embedding.parts import EmbeddingParts
from backend.embedding.stage import Item
from backend.snapshot import Content

# vectors put into the store at a time; a kill costs no more
_STORE_EVERY = 512

Done = Callable[[int, int], None]


def embed_contents(
    parts: EmbeddingParts,
    project_id: int,
    items: Sequence[tuple[int, str, str | None]],
    done: Done = lambda number, total: None,
) -> None:
    """See to it that images have vectors of a backbone; one that cannot be fetched now is the next refresh's.

    Parameters
    ----------
    items : sequence of (task id, URI, content digest or None)
        What has a vector by its digest is not fetched.
    done : callable
        Told of how many of how many are done; it may raise, to end it: what is done is kept.

    Raises
    ------
    LabelStudioError
        If Label Studio cannot be reached.
    """
    known = sorted({key for _, _, key in items if key})
    there = dict(zip(known, parts.vectors.has(known), strict=True)) if known else {}
    todo: dict[str, int] = {}
    for task_id, uri, key in items:
        if not (key and there[key]):
            todo.setdefault(uri, task_id)
    if not todo:
        return
    gathered: dict[str, np.ndarray] = {}
    number = 0

    def store() -> None:
        if gathered:
            parts.vectors.put(list(gathered), np.stack(list(gathered.values())))
            gathered.clear()

    def note(found: Sequence[Item], content: Content, vector: np.ndarray | None) -> None:
        nonlocal number
        number += len(found)
        if content.key and vector is not None:
            gathered[content.key] = vector
        if len(gathered) >= _STORE_EVERY:
            store()
        done(number, len(todo))

    try:
        parts.stage.run(project_id, [[(task_id, uri) for uri, task_id in todo.items()]], note)
    finally:
        store()
