"""Fixtures of the server side: settings on a folder of their own, and a project with a published model."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.settings import Settings
from tests.backend.trained import HintList, Trained, make_settings, make_trained


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings on a fresh folder."""
    return make_settings(tmp_path)


@pytest.fixture
def hints() -> HintList:
    """A queue that only remembers."""
    return HintList()


@pytest.fixture
def trained(settings: Settings) -> Trained:
    """A project with a published model."""
    return make_trained(settings)
