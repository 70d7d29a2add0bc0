"""Find wrong masks in a set: `audit_masks`, and `write_mask_audit` for tables, pictures and the report."""

from __future__ import annotations

from ml.audit.masks.findings import MaskAudit, Twins
from ml.audit.masks.run import audit_masks
from ml.audit.masks.write import write_mask_audit

__all__ = ["MaskAudit", "Twins", "audit_masks", "write_mask_audit"]
