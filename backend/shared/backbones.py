"""A project's own backbones in an object store: the working folder holds those that were asked for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from backend.backbones import MANIFEST, MODEL, PUBLISHED, Backbone, BackboneStore, is_backbone
from backend.shared.bucket import Vanished
from backend.shared.project import SharedProject

_FOLDER = "backbones"
# seconds after which a backbone that is only here is none that is just being stored
_OLD = 3600.0


class SharedBackbones(BackboneStore):
    """Backbones that other machines use, too: weights first, then the manifest, which makes one visible.

    Parameters
    ----------
    root : Path
        Their folder on this machine.
    shared : SharedProject
    """

    def __init__(self, root: Path, shared: SharedProject) -> None:
        super().__init__(root, shared.id)
        self._objects = shared.objects

    def save(self, model: Path, manifest: Mapping[str, Any]) -> str:
        """Store a backbone without publishing it, here and there."""
        name = super().save(model, manifest)
        for file in (MODEL, MANIFEST):
            self._objects.push(self.root / name / file, f"{_FOLDER}/{name}/{file}")
        return name

    def published(self) -> str | None:
        """Return the backbone that new versions are learned on, as the store has it now."""
        try:
            return self._objects.get(f"{_FOLDER}/{PUBLISHED}").decode("utf-8", "replace").strip() or None
        except Vanished:
            return None

    def publish(self, name: str | None) -> None:
        """Have new versions learned on a backbone, on all machines."""
        super().publish(name)
        self._objects.put(f"{_FOLDER}/{PUBLISHED}", (name or "").encode())

    def load(self, name: str) -> Backbone:
        """Return a stored backbone, fetched once."""
        if is_backbone(name) and not (self.root / name / MANIFEST).is_file():
            with suppress(Vanished):  # what is missing is told below, with what to do
                for file in (MODEL, MANIFEST):
                    self._objects.fetch_whole(f"{_FOLDER}/{name}/{file}", self.root / name / file)
            self._forget_old()
        return super().load(name)

    def prune(self, keep: Collection[str]) -> list[str]:
        """Delete all backbones but these and the published one, here and there; return what went."""
        served = self.published()
        gone = sorted(self._there() - set(keep) - {served})
        self._objects.delete(f"{_FOLDER}/{name}/{file}" for name in gone for file in (MANIFEST, MODEL))
        for name in self.ids():
            if name not in keep and name != served:
                shutil.rmtree(self.root / name)
        return gone

    def _there(self) -> set[str]:
        """Return those of which anything is stored there."""
        names = [entry.name for entry in self._objects.list(_FOLDER)]
        return {name.split("/")[0] for name in names if "/" in name}

    def _forget_old(self) -> None:
        """Delete backbones here that are not stored there any more."""
        there, old = self._there(), time.time() - _OLD
        for name in self.ids():
            if name not in there and (self.root / name).stat().st_mtime < old:
                shutil.rmtree(self.root / name, ignore_errors=True)
