"""Connect Lineup to a project: the ML backend, its webhook, and the first refresh."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass

from backend.jobs.open import open_hints
from backend.labelstudio.backends import backend_urls, connect_backend
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import find_kind
from backend.labelstudio.reader import read_project
from backend.labelstudio.webhooks import ensure_webhook
from backend.project import Project
from backend.settings import Settings

log = logging.getLogger(__name__)

TITLE = "Lineup"


class NotConnected(RuntimeError):
    """Nobody has connected the project to an ML backend."""


@dataclass(frozen=True)
class Connected:
    """What `lineup connect` did, for the shell to show."""

    project_id: int
    title: str
    kind: str
    backend_url: str
    webhook_url: str


def webhook_headers(settings: Settings) -> dict[str, str]:
    """Return the headers Label Studio's webhook must send to be let in."""
    secret = settings.webhook_secret.get_secret_value()
    if secret:
        return {"X-Lineup-Secret": secret}
    if settings.basic_auth_user:
        pair = f"{settings.basic_auth_user}:{settings.basic_auth_pass.get_secret_value()}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {}


def connect(settings: Settings, project_id: int) -> Connected:
    """Connect a project, idempotently; the running worker does the rest.

    Raises
    ------
    LabelStudioError
        If Label Studio refuses, or cannot reach Lineup at ``LINEUP_URL``.
    UnsupportedConfig
        If Lineup cannot learn the project's label config.
    """
    client = LabelStudioClient(settings.label_studio_url, settings.api_key)
    info = read_project(client, project_id)
    kind = find_kind(info.label_config)
    connect_backend(
        client,
        project_id,
        settings.lineup_url,
        title=TITLE,
        user=settings.basic_auth_user,
        password=settings.basic_auth_pass.get_secret_value(),
    )
    ensure_webhook(client, project_id, settings.lineup_url, webhook_headers(settings))
    Project.open(settings, info)
    open_hints(settings).add(project_id, "connect")
    return Connected(project_id, info.title, kind.name, settings.lineup_url, f"{settings.lineup_url}/webhook")


def adopt(client: LabelStudioClient, settings: Settings, project_id: int) -> None:
    """Finish a connection made in Label Studio's own settings page: its webhook carries no credentials yet.

    Only a webhook to ``LINEUP_URL`` is given Lineup's secret: another backend must not learn it.

    Raises
    ------
    NotConnected
        If the project has no ML backend at all, so that nobody who may has connected it.
    """
    urls = backend_urls(client, project_id)
    if not urls:
        raise NotConnected(
            f"project {project_id} has no ML backend; run: lineup connect --project {project_id}"
        )
    if settings.lineup_url in urls:
        ensure_webhook(client, project_id, settings.lineup_url, webhook_headers(settings))
    elif webhook_headers(settings):
        log.warning(
            "project %d: none of its ML backends (%s) is LINEUP_URL=%s, so its webhook gets no credentials and its "
            "events are refused; set LINEUP_URL to the address typed in Label Studio",
            project_id,
            ", ".join(urls),
            settings.lineup_url,
        )
