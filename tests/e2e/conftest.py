"""Lineup's own server beside the real Label Studio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer

# no weights are needed, and a test does not wait for a person to pause
QUICK = {"embedder": "pixels", "debounce_quiet": 0.5, "debounce_max": 3.0, "webhook_secret": "end-to-end"}


@pytest.fixture(scope="module")
def lineup(
    label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineupServer]:
    """A running Lineup that knows no project yet."""
    with LineupServer(label_studio, tmp_path_factory.mktemp("lineup") / "models", **QUICK) as server:
        yield server
