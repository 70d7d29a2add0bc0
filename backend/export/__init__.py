"""Corrected labels out of a project."""

from backend.export.project import FORMATS, Exported, export_project

__all__ = ["FORMATS", "Exported", "export_project"]
