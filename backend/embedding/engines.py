"""Who does the embedding of a refresh: one module an engine, one registry line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from backend.embedding.intake import Intake
from backend.embedding.local import LocalEngine
from backend.embedding.stage import Item
from backend.settings import Settings

# new images from which on it pays to bring in others: below, a processor is done in seconds to a minute
SHARE_FROM = 2048


class Engine(Protocol):
    """Sees to it that images get their vectors."""

    def embed(self, intake: Intake, todo: Sequence[Item]) -> None:
        """Have images embedded, here or elsewhere; returns when `Intake.note` has heard of all of them.

        What others leave undone, because they failed or died, is done here.

        Raises
        ------
        LabelStudioError
            If Label Studio itself cannot be reached: nothing is marked as broken for that.
        """
        ...


def _local(settings: Settings) -> Engine:
    return LocalEngine()


def _shards(settings: Settings) -> Engine:
    from backend.embedding.shards import ShardsEngine

    return ShardsEngine(settings)


ENGINES: dict[str, Callable[[Settings], Engine]] = {"local": _local, "shards": _shards}


def make_engine(settings: Settings) -> Engine:
    """Return the engine the settings ask for; ``auto``: shards where workers have a Redis to share them by."""
    name: str = settings.embed_engine
    if name == "auto":
        name = "shards" if settings.redis_url.get_secret_value() else "local"
    return ENGINES[name](settings)
