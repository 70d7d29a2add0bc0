"""Machines that share a bucket: each has its own working folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.settings import Settings
from backend.shared.folder import SharedFolder, share
from backend.shared.project import SharedProject
from backend.snapshot import SNAPSHOT, SnapshotStore
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


Process = Callable[[str], SharedProject]


@pytest.fixture
def process(machine: Machine) -> Process:
    """Project 7 as a new process of a machine sees it."""

    def make(name: str) -> SharedProject:
        return new_process(machine(name)).project(7)

    return make


def store(project: SharedProject) -> SnapshotStore:
    """The snapshot a project has on its machine."""
    return SnapshotStore(project.folder / SNAPSHOT)


def worked(project: SharedProject, value: str) -> SharedProject:
    """A whole turn that writes one value."""
    project.take()
    store(project).set_meta("value", value)
    project.turns.push()
    return project


def new_process(settings: Settings) -> SharedFolder:
    """What a process that has just started knows of a bucket; its connections are this one's."""
    shared = share(settings)
    assert shared is not None
    return SharedFolder(shared.bucket, settings.model_dir)
