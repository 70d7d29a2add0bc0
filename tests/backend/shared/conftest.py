"""Machines that share a bucket: each has its own working folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.settings import Settings
from tests.backend.trained import make_settings
from tests.s3_server import S3Server

Machine = Callable[..., Settings]


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A new bucket."""
    return s3.bucket()


@pytest.fixture
def machine(tmp_path: Path, bucket: str) -> Machine:
    """Settings of a machine, by its name."""

    def make(name: str, **more: Any) -> Settings:
        return make_settings(
            tmp_path, **{"model_dir": f"s3://{bucket}/lineup", "model_cache": tmp_path / name, **more}
        )

    return make
