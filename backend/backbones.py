"""Backbones of a project's own: a folder each, and one small file that says on which new versions are learned."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from backend.status import replace_text

MODEL, MANIFEST = "model.safetensors", "manifest.json"
PUBLISHED = "published"
# in the manifest of a network that draws masks: its architecture. Vectors are not made with it
NETWORK = "network"
_ID = re.compile(r"tuned-[0-9a-f]{12}")


def is_backbone(name: str) -> bool:
    """Tell whether a backbone's id is one that Lineup gives."""
    return _ID.fullmatch(name) is not None


class BackboneNotFound(LookupError):
    """A project's own backbone is not where it was kept; the message says what to do."""


@dataclass(frozen=True)
class Backbone:
    """A network of a project's own: its images are embedded with it, or their masks drawn.

    Attributes
    ----------
    id : str
    manifest : dict
        ``model`` (timm's name), ``image_size``, ``labels``, ``trained_on`` (content digests of the images it has
        seen), the scores by which it was published, and where its weights come from; `NETWORK` of one that draws.
    path : Path
        The weights.
    """

    id: str
    manifest: dict[str, Any]
    path: Path


def backbone_id(model: Path) -> str:
    """Return the id of a network: the same weights, the same id."""
    with model.open("rb") as file:
        return f"tuned-{file_digest(file, 'sha256').hexdigest()[:12]}"


class BackboneStore:
    """The backbones of one project: ``<id>/manifest.json`` + ``<id>/model.safetensors``, and the file ``published``.

    A backbone appears whole or not at all, and ``published`` is replaced in one step.

    Parameters
    ----------
    root : Path
    project_id : int
        For messages.
    """

    def __init__(self, root: Path, project_id: int) -> None:
        self.root = root
        self.project_id = project_id

    def save(self, model: Path, manifest: Mapping[str, Any]) -> str:
        """Store a backbone without publishing it; return its id. Storing it again changes nothing."""
        name = backbone_id(model)
        if (self.root / name / MANIFEST).is_file():
            return name
        self.root.mkdir(parents=True, exist_ok=True)
        draft = self.root / f".{name}.{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            shutil.copyfile(model, draft / MODEL)
            (draft / MANIFEST).write_text(json.dumps(dict(manifest), indent=1), encoding="utf-8")
            draft.rename(self.root / name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return name

    def published(self) -> str | None:
        """Return the backbone that new versions are learned on; None where that is the setting's."""
        try:
            return (self.root / PUBLISHED).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def publish(self, name: str | None) -> None:
        """Have new versions learned on a backbone; None: on the setting's.

        Raises
        ------
        BackboneNotFound
            If it is not stored.
        """
        if name is not None:
            self.load(name)
        replace_text(self.root / PUBLISHED, name or "")

    def load(self, name: str) -> Backbone:
        """Return a stored backbone.

        Raises
        ------
        BackboneNotFound
            If it is not there.
        """
        folder = self.root / name
        if not (is_backbone(name) and (folder / MANIFEST).is_file() and (folder / MODEL).is_file()):
            raise BackboneNotFound(
                f"project {self.project_id}: its backbone {name!r} is not in {self.root}. Go back to EMBEDDER: "
                f"lineup train --project {self.project_id} --drop"
            )
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return Backbone(name, manifest, folder / MODEL)

    def prune(self, keep: Collection[str]) -> list[str]:
        """Delete all backbones but these and the published one; return what went."""
        served = self.published()
        gone = [name for name in self.ids() if name not in keep and name != served]
        for name in gone:
            shutil.rmtree(self.root / name)
        return gone

    def ids(self) -> list[str]:
        """Return the stored backbones."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if is_backbone(path.name))
