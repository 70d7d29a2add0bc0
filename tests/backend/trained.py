"""A project with a published model, and a queue that only remembers: what tests of the server side stand on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backend.labelstudio.config import find_kind
from backend.project import open_registry
from backend.registry import Version, VersionRegistry
from backend.settings import Settings
from backend.snapshot import SNAPSHOT, Content, ProjectInfo, SnapshotStore
from backend.vectors import open_vectors
from ml.embedders import make_embedder
from ml.heads.head import Head
from ml.vectors import content_key
from tests.embedding import embed

CONFIG = (
    '<View><Image name="img" value="$image"/>'
    '<Choices name="cls" toName="img"><Choice value="dark"/><Choice value="bright"/></Choices></View>'
)
COLOURS = {"dark": 20, "bright": 230}


class HintList:
    """A `RefreshQueue` that only remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.alive = True
        self.restarts = 0
        self.problem: str | None = None

    def request(self, project_id: int, reason: str) -> None:
        self.asked.append((project_id, reason))

    def waiting(self) -> int:
        return len({project for project, _ in self.asked})

    def start(self) -> None:
        self.alive = True

    def stop(self) -> None:
        self.alive = False


@dataclass
class Trained:
    """A project with a model that tells images with a dark from those with a bright upper half."""

    settings: Settings
    project: int
    version: str
    registry: VersionRegistry
    store: SnapshotStore
    fingerprint: str

    def task(self, number: int, colour: str = "dark", **data: Any) -> dict[str, Any]:
        """Return a task whose image is known."""
        return {"id": number, "data": {"image": f"/known/{colour}.png", **data}, "project": self.project}

    def publish_another(self) -> str:
        """Publish one more version with the same head; return its id."""
        loaded = self.registry.load(self.version)
        version_id = self.registry.next_id("choices", "b" * 64)
        self.registry.save(Version(version_id, {**loaded.manifest, "version": version_id}, loaded.arrays))
        self.registry.publish(version_id)
        return version_id


def picture(level: int) -> Image.Image:
    """Return an image whose upper half has a level of grey and whose lower half has the opposite one."""
    image = Image.new("RGB", (64, 64), (255 - level,) * 3)
    image.paste((level,) * 3, (0, 0, 64, 32))
    return image


def png(level: int) -> bytes:
    """Return `picture` as a PNG file."""
    buffer = io.BytesIO()
    picture(level).save(buffer, "PNG")
    return buffer.getvalue()


def make_settings(folder: Path, **more: Any) -> Settings:
    """Return settings that read no environment file."""
    values = {"model_dir": folder / "models", "embedder": "pixels", "label_studio_url": "http://127.0.0.1:9"}
    return Settings(_env_file=None, **{**values, "label_studio_api_key": "a" * 40, **more})


def make_project(settings: Settings, project_id: int, label_config: str = CONFIG) -> SnapshotStore:
    """Create the snapshot of a project, as a first refresh does."""
    store = SnapshotStore(settings.project_dir(project_id) / SNAPSHOT)
    store.save_project(
        ProjectInfo(project_id, "Test", label_config, "2026-01-01T00:00:00Z", 2, "", "Sequential sampling")
    )
    return store


def make_trained(settings: Settings, project_id: int = 7) -> Trained:
    """Publish a model for two known images."""
    store = make_project(settings, project_id)
    embedder = make_embedder("pixels")
    vectors = open_vectors(settings, embedder.fingerprint, embedder.dim)
    files = {colour: png(level) for colour, level in COLOURS.items()}
    keys = {colour: content_key(data) for colour, data in files.items()}
    rows = embed(embedder, [picture(level) for level in COLOURS.values()])
    vectors.put(list(keys.values()), rows)
    store.put_contents({f"/known/{colour}.png": Content(key, None, 0.0) for colour, key in keys.items()})
    towards_bright = (rows[1] - rows[0]) / np.linalg.norm(rows[1] - rows[0])
    middle = float((rows.mean(axis=0) * towards_bright).sum())
    half = float(((rows[1] - rows[0]) * towards_bright).sum() / 2)
    W = np.stack([-towards_bright, towards_bright], axis=1).astype(np.float32) / half
    b = np.array([middle, -middle], dtype=np.float32) / half
    head = Head(W, b, np.zeros(len(W), np.float32), np.ones(len(W), np.float32))
    kind = find_kind(CONFIG)
    registry = open_registry(settings, project_id)
    version = registry.next_id("choices", "a" * 64)
    manifest = {
        "version": version,
        "kind": "choices",
        "digest": "a" * 64,
        "label_config": kind.digest,
        "classes": list(kind.classes),
        "labels": 2,
        "accuracy": 0.9,
        "embedder": "pixels",
        "fingerprint": embedder.fingerprint,
        "note": "pixels is a fallback",
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    registry.save(Version(version, manifest, head.to_arrays()))
    registry.publish(version)
    return Trained(settings, project_id, version, registry, store, embedder.fingerprint)
