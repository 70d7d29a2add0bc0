"""See tests/ml/training/conftest.py."""

from __future__ import annotations

from tests.ml.training.conftest import one_thread

__all__ = ["one_thread"]
