"""Servers and clients for the tests of Label Studio's side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.labelstudio.client import LabelStudioClient
from tests.backend.labelstudio.web import Reply, Seen, Site


@pytest.fixture
def site() -> Iterator[Callable[..., Site]]:
    """Make servers that end with the test."""
    made: list[Site] = []

    def make(answer: Callable[[Seen], Reply], host: str = "127.0.0.1") -> Site:
        made.append(Site(answer, host))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make retries immediate; holds the seconds they would have waited."""
    waits: list[float] = []
    monkeypatch.setattr("backend.labelstudio.client.time.sleep", waits.append)
    return waits


@pytest.fixture
def live(label_studio: Any) -> Iterator[LabelStudioClient]:
    """A client of the real Label Studio."""
    with LabelStudioClient(label_studio.url, label_studio.token) as client:
        yield client
