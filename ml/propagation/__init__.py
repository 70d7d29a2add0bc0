"""Label a large pool from a small labelled set; what is doubtful goes to people."""

from ml.propagation.finish import label_rest
from ml.propagation.propagate import Propagated, propagate

__all__ = ["Propagated", "label_rest", "propagate"]
