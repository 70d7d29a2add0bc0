"""What a shard of embedding work and the answer to it look like on their way through Redis."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.backbones import is_backbone
from backend.embedding.stage import Item, may_travel
from ml.quality import MEASURES
from ml.segments import KEY_BYTES

# images a job: some seconds of a processor, so that one lost costs little and none waits long for the last
SHARD_SIZE = 512
# shards that wait or run at the same time: a few for each of dozens of workers, and megabytes in Redis
WINDOW = 128
# longest reason that comes back, and longest answer that is read
MAX_ERROR = 500
MAX_ANSWER = SHARD_SIZE * (2 * MAX_ERROR + 200)
# seconds after which what nobody asks for is gone from Redis
TTL = 3600

_RUN = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")
_MEASURES_BYTES = 4 * len(MEASURES)


class Malformed(ValueError):
    """A message is not what it should be."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Images that one worker is to embed for another one's refresh.

    Attributes
    ----------
    run : str
        Names the pass of the refresh, so that nobody works for one that has ended.
    number : int
    project : int
    fingerprint : str
        Of the embedder the vectors must be from.
    items : tuple of (task id, URI)
    backbone : str or None
        The project's own that the embedder is; None: it is the setting's.
    """

    run: str
    number: int
    project: int
    fingerprint: str
    items: tuple[Item, ...]
    backbone: str | None = None

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps([self.run, self.number, self.project, self.fingerprint, self.items, self.backbone])

    @classmethod
    def from_json(cls, text: str) -> Shard:
        """Read it.

        Raises
        ------
        Malformed
            If it is anything else.
        """
        run, number, project, fingerprint, items, backbone = _list(text, 6)
        _check(isinstance(run, str) and _RUN.fullmatch(run), "run")
        _check(_is_number(number) and _is_number(project), "numbers")
        _check(isinstance(fingerprint, str) and len(fingerprint) <= 200, "fingerprint")
        _check(isinstance(items, list) and 0 < len(items) <= SHARD_SIZE, "items")
        _check(backbone is None or (isinstance(backbone, str) and is_backbone(backbone)), "backbone")
        for item in items:
            _check(isinstance(item, list) and len(item) == 2 and _is_number(item[0]), "task")
            _check(isinstance(item[1], str) and may_travel(item[1]), "URI")
        return cls(run, number, project, fingerprint, tuple((task, uri) for task, uri in items), backbone)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one image of a shard: a key and measures, or an error."""

    index: int
    key: str | None
    error: str | None
    measures: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker has to say of a shard.

    Attributes
    ----------
    run : str
    number : int
    worker : str
        Its name.
    found : tuple of Found
        Of the images that are done; the vectors are in the vector store.
    why : str
        Why not all of them are; empty if they are.
    counts : dict
        What the work counted, see `backend.tally`.
    """

    run: str
    number: int
    worker: str
    found: tuple[Found, ...]
    why: str = ""
    counts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as JSON."""
        rows = [(f.index, f.key, (f.error or "")[:MAX_ERROR] or None, _text(f.measures)) for f in self.found]
        return json.dumps([self.run, self.number, self.worker, rows, self.why[:MAX_ERROR], self.counts])

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """Read it.

        Raises
        ------
        Malformed
            If it is anything else.
        """
        _check(len(text) <= MAX_ANSWER, "length")
        run, number, worker, rows, why, counts = _list(text, 6)
        _check(isinstance(run, str) and _is_number(number), "run")
        _check(isinstance(worker, str) and isinstance(why, str) and isinstance(counts, dict), "parts")
        _check(isinstance(rows, list) and len(rows) <= SHARD_SIZE, "rows")
        return cls(run, number, worker, tuple(_found(row) for row in rows), why, counts)


def _found(row: Any) -> Found:
    _check(isinstance(row, list) and len(row) == 4 and _is_number(row[0]), "row")
    index, key, error, measures = row
    if key is None:
        _check(isinstance(error, str) and error and measures is None, "error")
        return Found(index, None, error, None)
    _check(isinstance(key, str) and _KEY.fullmatch(key) and error is None, "key")
    _check(isinstance(measures, str), "measures")
    try:
        raw = base64.b64decode(measures, validate=True)
    except ValueError as problem:
        raise Malformed("measures are not base64") from problem
    _check(len(raw) == _MEASURES_BYTES, "measures")
    return Found(index, key, None, raw)


def _text(measures: bytes | None) -> str | None:
    return None if measures is None else base64.b64encode(measures).decode()


def _list(text: str, length: int) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Malformed(f"not JSON: {problem}") from problem
    _check(isinstance(found, list) and len(found) == length, "parts")
    return list(found)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _check(good: object, what: str) -> None:
    if not good:
        raise Malformed(f"its {what}: not as Lineup writes it")
