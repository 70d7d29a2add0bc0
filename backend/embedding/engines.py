"""Who does the embedding of a refresh: one module an engine, one registry line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from backend.embedding.intake import Intake
from backend.embedding.local import LocalEngine
from backend.embedding.stage import Item, may_travel
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


def divide(intake: Intake, todo: Sequence[Item], share_from: int) -> tuple[list[Item], list[Item]]:
    """Return the images that stay here, and those that others may have: all stay where they are few."""
    # what keeps its vector if it cannot be fetched is a matter between the refresh and its snapshot
    goes = [may_travel(uri) and uri not in intake.kept for _, uri in todo]
    if sum(goes) < share_from:
        return list(todo), []
    here = [item for item, go in zip(todo, goes, strict=True) if not go]
    return here, [item for item, go in zip(todo, goes, strict=True) if go]


def _local(settings: Settings) -> Engine:
    return LocalEngine()


def _shards(settings: Settings) -> Engine:
    from backend.embedding.shards import ShardsEngine

    return ShardsEngine(settings)


def _ray(settings: Settings) -> Engine:
    from backend.embedding.ray_data import RayEngine

    return RayEngine(settings)


ENGINES: dict[str, Callable[[Settings], Engine]] = {"local": _local, "shards": _shards, "ray": _ray}


def make_engine(settings: Settings) -> Engine:
    """Return the engine the settings ask for; ``auto``: shards where workers have a Redis to share them by."""
    name: str = settings.embed_engine
    if name == "auto":
        name = "shards" if settings.redis_url.get_secret_value() else "local"
    return ENGINES[name](settings)
