"""Corrected labels out of a project, one format a module."""

from backend.export.formats import FORMATS
from backend.export.project import Exported, export_project

__all__ = ["FORMATS", "Exported", "export_project"]
