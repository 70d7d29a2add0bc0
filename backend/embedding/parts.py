"""What a project's images are embedded with: the backbone of the settings, or one of the project's own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from backend.embedding.stage import EmbeddingStage
from backend.labelstudio.fetch import ImageFetcher
from backend.project import open_backbones
from backend.settings import Settings
from backend.vectors import open_vectors
from ml.embedders import Embedder, make_embedder
from ml.vectors import VectorStore

# networks in memory at a time, besides the setting's
_KEPT = 3


@dataclass(frozen=True)
class EmbeddingParts:
    """A backbone, ready to embed with, and its vectors."""

    stage: EmbeddingStage
    vectors: VectorStore

    @property
    def embedder(self) -> Embedder:
        """The network itself."""
        return self.stage.embedder

    @property
    def backbone(self) -> str | None:
        """Id of the project's own that it is; None: it is the setting's."""
        return self.stage.backbone


class OwnBackbones:
    """Loads the backbones of projects, and keeps the last ones.

    Parameters
    ----------
    settings : Settings
    fetcher : callable
        Returns what fetches image bytes.
    """

    def __init__(self, settings: Settings, fetcher: Callable[[], ImageFetcher]) -> None:
        self.settings = settings
        self._fetcher = fetcher
        self._loaded: OrderedDict[str, EmbeddingParts] = OrderedDict()
        self._lock = threading.Lock()

    def parts(self, project_id: int, name: str) -> EmbeddingParts:
        """Return what to embed a project's images with.

        Raises
        ------
        BackboneNotFound
            If the project has no such backbone.
        WeightsUnavailable
            If its file is damaged.
        """
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(project_id, name)
                while len(self._loaded) > _KEPT:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(name)
            return self._loaded[name]

    def _load(self, project_id: int, name: str) -> EmbeddingParts:
        found = open_backbones(self.settings, project_id).load(name)
        embedder = make_embedder(
            f"timm:{found.manifest['model']}@{found.path}", image_size=found.manifest["image_size"]
        )
        # the path is of this machine
        embedder.name = f"timm:{found.manifest['model']} ({name})"
        stage = EmbeddingStage(embedder, self._fetcher(), self.settings.image_limits, name)
        return EmbeddingParts(stage, open_vectors(self.settings, embedder.fingerprint, embedder.dim))
