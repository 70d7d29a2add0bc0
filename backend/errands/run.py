"""One errand, in a process of its own: ``python -m backend.errands.run ID``."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.errands.bodies import ActiveLearningBody, F1Body
from backend.errands.book import Errand, ErrandBook
from backend.errands.paths import below
from backend.logs import configure
from backend.settings import Settings, get_settings
from ml.datasets import Dataset, ReadOptions, read_dataset
from ml.datasets.embedding import Embedded, embed_dataset
from ml.embedders import Embedder, make_embedder
from ml.evaluation import evaluate
from ml.selection import find_task

log = logging.getLogger(__name__)

TELL_EVERY = 0.5
_NAMED = 100


class Run:
    """Does an errand and tells how far it is.

    Parameters
    ----------
    settings : Settings
    book : ErrandBook
    errand : Errand
    """

    def __init__(self, settings: Settings, book: ErrandBook, errand: Errand) -> None:
        self.settings = settings
        self.book = book
        self.errand = replace(errand, state="running")
        self._told = 0.0

    def work(self) -> None:
        """Do it; what goes wrong is in its record."""
        self.book.write(self.errand)
        try:
            result = _KINDS[self.errand.kind](self, self.errand.ask)
        except Exception as error:
            log.exception("errand %s failed", self.errand.id)
            self.book.write(replace(self.errand, state="failed", error=f"{error}"))
            return
        self.book.write(replace(self.errand, state="done", result=result))

    def select(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Choose the next batch."""
        body = ActiveLearningBody(**ask)
        skip = body.skip_problems
        embedder = make_embedder(body.backbone, allow_noncommercial=self.settings.allow_noncommercial)
        images = self._path(body.path_to_img)
        given = None
        if body.path_to_labels:
            labels = self._path(body.path_to_labels)
            known = self._read(labels, images, skip).labelled()
            given = self._embed(known, embedder, "labelled images", skip) if known.examples else None
        all_images = self._inside(read_dataset(images, format="folders", skip_problems=skip))
        pool = self._embed(all_images, embedder, "images", skip)
        chosen = find_task(body.task)(given, pool, body.add, method=body.method, seed=body.seed)
        rows = [{"image": row.image, **row.more} for row in chosen.rows()]
        return {
            "images": rows,
            "pool": chosen.pool,
            "why_no_model": chosen.why_no_model,
            "left_out": _named(given, pool),
        }

    def f1(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Judge labels."""
        body = F1Body(**ask)
        embedder = make_embedder(body.backbone, allow_noncommercial=self.settings.allow_noncommercial)
        skip = body.skip_problems
        train, validation = [
            self._embed(self._labelled(labels, images, skip), embedder, what, skip)
            for labels, images, what in (
                (body.path_to_labels_train, body.path_to_img_train, "training images"),
                (body.path_to_labels_val, body.path_to_img_val, "validation images"),
            )
        ]
        return {**evaluate(train, validation).as_dict(), "left_out": _named(train, validation)}

    def _labelled(self, labels: str, images: str | None, skip: bool) -> Dataset:
        return self._read(self._path(labels), self._path(images) if images else None, skip).labelled()

    def _read(self, labels: Path, images: Path | None, skip: bool) -> Dataset:
        return self._inside(read_dataset(labels, options=ReadOptions(images), skip_problems=skip))

    def _inside(self, dataset: Dataset) -> Dataset:
        """See that the images a list names, or a link leads to, are below the root as well."""
        for example in dataset:
            if example.path is not None:
                below(self.settings.data_root, str(example.path))
        return dataset

    def _path(self, name: str) -> Path:
        return below(self.settings.data_root, name)

    def _embed(self, dataset: Dataset, embedder: Embedder, what: str, skip: bool) -> Embedded:
        def tell(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self._told >= TELL_EVERY or done == total:
                self._told = now
                self.errand = replace(self.errand, step=f"embedding {what}", done=done, total=total)
                self.book.write(self.errand)

        return embed_dataset(
            dataset,
            embedder,
            cache=self.settings.model_dir / "datasets",
            skip_problems=skip,
            progress=tell,
        )


def _named(*parts: Embedded | None) -> list[str]:
    """Return what was left out, the first hundred."""
    return [str(problem) for part in parts if part for problem in part.problems][:_NAMED]


_KINDS: dict[str, Callable[[Run, dict[str, Any]], dict[str, Any]]] = {
    "active_learning": Run.select,
    "f1": Run.f1,
}


def main() -> None:
    """Entry point of the child process."""
    settings = get_settings()
    configure(settings, "errand")
    book = ErrandBook(settings.model_dir)
    Run(settings, book, book.read(sys.argv[1])).work()


if __name__ == "__main__":
    main()
