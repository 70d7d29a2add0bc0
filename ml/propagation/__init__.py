"""Label a large pool from a small labelled set; what is doubtful goes to people."""

from ml.propagation.propagate import Propagated, propagate, spread

__all__ = ["Propagated", "propagate", "spread"]
