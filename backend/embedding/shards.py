"""The engine of the distributed mode: many new images are cut into shards that all free workers do together."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from redis import Redis, RedisError

from backend.embedding.engines import SHARE_FROM, divide
from backend.embedding.intake import Intake
from backend.embedding.stage import Item
from backend.jobs.distributed.board import Board
from backend.jobs.distributed.link import link
from backend.jobs.distributed.shards import SHARD_SIZE, WINDOW, Answer
from backend.settings import Settings
from backend.snapshot import Content
from backend.tally import count

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 5.0
# lots: one is asked for while files of the one before are fetched and images of that before it embedded
ON_THEIR_WAY = 3
# seconds between looks for answers where there is nothing else to do
WAIT = 0.1
# seconds between looks for shards whose worker is gone
LOOK_EVERY = 1.0


class ShardsEngine:
    """Offers shards to other workers, and does itself whichever nobody has begun.

    One worker alone so does all of them, in one stream. What another one did not do, because it failed, ended or died,
    is done here: of a shard whose worker died one image at a time, because any of them may be what it died of.

    Parameters
    ----------
    settings : Settings
    share_from : int
        Fewer new images are not worth offering.
    size : int
        Images a shard, at most 512.
    """

    def __init__(self, settings: Settings, *, share_from: int = SHARE_FROM, size: int = SHARD_SIZE) -> None:
        self.settings = settings
        self.connection: Redis = link(settings, PATIENCE)
        self.share_from = share_from
        self.size = size

    def embed(self, intake: Intake, todo: Sequence[Item]) -> None:
        """Have images embedded by all workers that are free."""
        own, shared = divide(intake, todo, self.share_from)
        if not shared:
            intake.here([own])
            return
        stage = intake.stage
        board = Board(
            self.settings, self.connection, intake.project_id, stage.embedder.fingerprint, stage.backbone
        )
        try:
            _Sharing(intake, board, self._lots(own), self._lots(shared)).run()
        finally:
            board.close()

    def _lots(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        return [items[start : start + self.size] for start in range(0, len(items), self.size)]


class _Sharing:
    """One pass: what is not offered yet, what is offered, and what is to be done here."""

    def __init__(
        self,
        intake: Intake,
        board: Board,
        own: Sequence[Sequence[Item]],
        lots: Sequence[Sequence[Item]],
    ) -> None:
        self.intake = intake
        self.board = board
        self._own: deque[Sequence[Item]] = deque(own)
        self._unoffered: deque[Sequence[Item]] = deque(lots)
        self._at_work: deque[Sequence[Item]] = deque(maxlen=ON_THEIR_WAY)
        self._silent = False
        self._looked = time.monotonic()

    def run(self) -> None:
        """Go on until every image has its outcome."""
        while True:
            lot = self._next()
            if lot is not None:
                self.intake.here(self._stream(lot))
            elif not (self.board.open or self._unoffered):
                return
            else:
                time.sleep(WAIT)
                self._take_up_lost()
            self.intake.report()

    def _stream(self, lot: Sequence[Item] | None) -> Iterator[Sequence[Item]]:
        """Yield a lot and all that can be had after it: the processor need not run empty between two."""
        while lot is not None:
            self._at_work.append(lot)
            self.intake.casualties.at_work([uri for part in self._at_work for _, uri in part])
            yield lot
            lot = self._next()

    def _next(self) -> Sequence[Item] | None:
        """Take answers, offer more, and return what to do here next."""
        while (answered := self._ask(self.board.answer)) is not None:
            self._take(*answered)
        self._offer()
        if self._own:
            return self._own.popleft()
        return self._ask(self.board.take_back)

    def _offer(self) -> None:
        while self._unoffered and len(self.board.open) < WINDOW:
            if self._ask(partial(self.board.publish, self._unoffered[0])) is None:
                return
            self._unoffered.popleft()

    def _take(self, items: Sequence[Item], answer: Answer) -> None:
        """Take what another worker found; what it does not vouch for is done here."""
        found = [one for one in answer.found if one.index < len(items)]
        keys = [one.key for one in found if one.key]
        there = dict(zip(keys, self.intake.vectors.has(keys), strict=True))
        if not all(there.values()):
            log.error(
                "project %d: worker %s has put its vectors elsewhere: all workers need the same MODEL_DIR",
                *(self.intake.project_id, answer.worker),
            )
        for name, by_label in answer.counts.items():
            for label, number in by_label.items():
                count(name, label, number)
        now = time.time()
        for one in found:
            if one.key is None or there[one.key]:
                content = Content(one.key, one.error, now, one.measures)
                self.intake.note([items[one.index]], content)
        if left := self.intake.left(items):
            log.warning(
                "project %d: worker %s left %d of %d images undone, they are done here: %s",
                *(self.intake.project_id, answer.worker, len(left), len(items), answer.why or "no reason"),
            )
            self._own.append(left)

    def _take_up_lost(self) -> None:
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        if (lost := self._ask(self.board.lost)) is None:
            return
        items, begun = lost
        if not begun:
            self._own.append(items)
            return
        log.warning(
            "project %d: a worker ended in the middle of a shard, its %d images are done here",
            *(self.intake.project_id, len(items)),
        )
        self.intake.alone(self.intake.left(items))

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Ask Redis; None where it does not answer: the project's lease says how long that may last."""
        try:
            answer = question()
        except RedisError as error:
            if not self._silent:
                log.warning("project %d: %s: %s", self.intake.project_id, type(error).__name__, error)
            self._silent = True
            return None
        self._silent = False
        return answer
