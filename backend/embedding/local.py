"""The engine that needs nothing: this process embeds all."""

from __future__ import annotations

from collections.abc import Sequence

from backend.embedding.intake import Intake
from backend.embedding.stage import Item


class LocalEngine:
    """Embeds everything in the process of the refresh."""

    def embed(self, intake: Intake, todo: Sequence[Item]) -> None:
        """Embed images."""
        intake.here([todo])
