"""The one webhook through which a project tells Lineup that something changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from backend.labelstudio.client import LabelStudioClient

log = logging.getLogger(__name__)


def ensure_webhook(client: LabelStudioClient, project_id: int, url: str, headers: Mapping[str, str]) -> int:
    """Make exactly one webhook of the project point to ``<url>/webhook``, with these headers; return its id.

    Connecting a backend makes Label Studio create one without credentials, whose events a protected backend
    refuses; that one is given the headers, and further ones to the same address are deleted. Webhooks to
    other addresses stay as they are.

    Parameters
    ----------
    url : str
        Address of Lineup as Label Studio reaches it.
    headers : mapping of str to str
        Headers to send with each event, at most 10.
    """
    target = url.rstrip("/") + "/webhook"
    wanted: dict[str, Any] = {
        "url": target,
        "project": project_id,
        "send_payload": True,
        "send_for_all_actions": True,
        "is_active": True,
        "headers": dict(headers),
    }
    there = client.get("/api/webhooks/", {"project": project_id})
    hooks = [hook for hook in there if hook["url"].rstrip("/") == target]
    if not hooks:
        return int(client.post("/api/webhooks/", wanted)["id"])
    keep, *others = sorted(hooks, key=lambda hook: int(hook["id"]))
    for hook in others:
        client.delete(f"/api/webhooks/{hook['id']}/")
        log.info("project %d: deleted a second webhook to %s", project_id, target)
    if any(keep.get(key) != value for key, value in wanted.items()):
        client.patch(f"/api/webhooks/{keep['id']}/", {k: v for k, v in wanted.items() if k != "project"})
    return int(keep["id"])
