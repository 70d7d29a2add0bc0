"""Corrected labels out of a project."""

from backend.export.exported import Exported
from backend.export.project import FORMATS, export_project

__all__ = ["FORMATS", "Exported", "export_project"]
