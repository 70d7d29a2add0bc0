"""From image URIs to vectors and measures; where the work is done is an engine's business, see `engines`."""

from backend.embedding.room import RETRY_BROKEN_AFTER, Embedded, EmbeddingRoom

__all__ = ["RETRY_BROKEN_AFTER", "Embedded", "EmbeddingRoom"]
