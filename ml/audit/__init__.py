"""Find and repair label errors in a dataset on disk.

`audit` is the fast mode: frozen vectors. `ml.audit.trained.audit_by_training` trains networks on folds instead, and is
not imported here, since it needs torch. Another way to learn hands its out-of-sample predictions to
`ml.audit.evidence.take_predictions` and goes on with `find` and `write_audit`.
"""

from __future__ import annotations

from ml.audit.evidence import Evidence, learn_from_vectors, take_predictions
from ml.audit.findings import Findings, class_numbers, find
from ml.audit.places import Places
from ml.audit.run import audit, true_classes
from ml.audit.write import write_audit

__all__ = [
    "Evidence",
    "Findings",
    "Places",
    "audit",
    "class_numbers",
    "find",
    "learn_from_vectors",
    "take_predictions",
    "true_classes",
    "write_audit",
]
