"""What checks share: settings, one client, and what was already asked of Label Studio."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from backend.doctor.callback import Answers, ask_label_studio_to_call
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.reader import read_project
from backend.settings import Settings, get_settings
from backend.snapshot import ProjectInfo


@dataclass
class Installation:
    """What is the same for all projects.

    Attributes
    ----------
    user : dict
        The token's user, once the check of the token has found it.
    """

    user: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        """The settings.

        Raises
        ------
        pydantic.ValidationError
            If one is wrong.
        """
        return get_settings()

    @cached_property
    def client(self) -> LabelStudioClient:
        """A client with the configured token."""
        return LabelStudioClient(self.settings.label_studio_url, self.settings.api_key)


@dataclass
class Context:
    """What one run of a check sees.

    Parameters
    ----------
    installation : Installation
    project : int or None
        The project looked at; None for a check of the installation, and where there is none.
    """

    installation: Installation
    project: int | None = None

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.installation.settings

    @property
    def client(self) -> LabelStudioClient:
        """A client with the configured token."""
        return self.installation.client

    @property
    def project_id(self) -> int:
        """The project looked at; a check of projects is never run without one."""
        assert self.project is not None
        return self.project

    @cached_property
    def info(self) -> ProjectInfo:
        """What Label Studio says of the project."""
        return read_project(self.client, self.project_id)

    @cached_property
    def backend(self) -> dict[str, Any] | None:
        """Lineup as the project's ML backend; Label Studio calls ``/health`` and ``/setup`` before it answers."""
        there = self.client.get("/api/ml/", {"project": self.project_id})
        same = [entry for entry in there if entry["url"].rstrip("/") == self.settings.lineup_url]
        return dict(same[0]) if same else None

    @cached_property
    def answers(self) -> Answers | None:
        """What Label Studio said when it was asked to call Lineup; None where it has no project to ask for."""
        project = self.project
        if project is None:
            found = self.client.get("/api/projects/", {"page_size": 1, "include": "id"})["results"]
            if not found:
                return None
            project = int(found[0]["id"])
        return ask_label_studio_to_call(self.client, self.settings, project)
