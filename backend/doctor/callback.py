"""Ask Label Studio to call Lineup as it would call a new ML backend, and leave nothing behind.

Label Studio checks an ML backend before it saves it: it looks at the address, calls ``/health``, then ``/setup``.
Lineup refuses a ``/setup`` that carries the doctor's parameters, so that nothing is ever saved; what Label Studio says
shows how far it came. A webhook with an event that does not exist is never saved either, and its address is looked at
first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from backend.doctor.knock import REFUSED, knocking
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from backend.settings import Settings

# how far Label Studio came: to this Lineup, to another one, to an ML backend that is none, ...
Reached = Literal[
    "lineup", "another lineup", "another backend", "something else", "refused", "nothing", "blocked"
]

BLOCKED = "reserved network"
_NO_EVENT = "LINEUP_DOCTOR"


@dataclass(frozen=True)
class Answers:
    """How far Label Studio came, in its own words where it failed, and whether it may send events there."""

    reached: Reached
    said: str = ""
    webhook_blocked: bool = False


def ask_label_studio_to_call(client: LabelStudioClient, settings: Settings, project_id: int) -> Answers:
    """Have Label Studio call ``LINEUP_URL`` on behalf of a project.

    Raises
    ------
    LabelStudioError
        If it could not even be asked.
    OSError
        If ``MODEL_DIR`` cannot be written to.
    """
    hooks = client.get("/api/webhooks/", {"project": project_id})
    before = {hook["id"] for hook in hooks}
    with knocking(settings.model_dir) as (parameters, file):
        body = {
            "project": project_id,
            "url": settings.lineup_url,
            "title": "Lineup",
            "extra_params": parameters,
            "auth_method": "BASIC_AUTH" if settings.basic_auth_user else "NONE",
        }
        if settings.basic_auth_user:
            body["basic_auth_user"] = settings.basic_auth_user
            body["basic_auth_pass"] = settings.basic_auth_pass.get_secret_value()
        try:
            version = client.get(f"/api/projects/{project_id}/", {"include": "model_version"})[
                "model_version"
            ]
            created = client.post("/api/ml/", body)
        except LabelStudioError as error:
            if error.status not in (400, 403):
                raise
            reached = _how_far(error.message, called=not file.exists())
            said = _reason(error.message)
        else:
            _undo(client, project_id, created["id"], before, version)
            reached, said = "another backend", ""
    return Answers(reached, said, _webhook_blocked(client, settings, project_id))


def _how_far(message: str, *, called: bool) -> Reached:
    if BLOCKED in message:
        return "blocked"
    if "authentication parameters" in message or "401 Client Error" in message:
        return "refused"
    if "look like a valid ML backend" in message:
        if called:
            return "lineup"
        return "another lineup" if f"{REFUSED} Client Error" in message else "something else"
    return "nothing"


def _undo(
    client: LabelStudioClient, project_id: int, backend: int, hooks: set[int], version: str | None
) -> None:
    """Take back what Label Studio saved because something accepted the doctor's call."""
    client.delete(f"/api/ml/{backend}")
    for hook in client.get("/api/webhooks/", {"project": project_id}):
        if hook["id"] not in hooks:
            client.delete(f"/api/webhooks/{hook['id']}/")
    if client.get(f"/api/projects/{project_id}/", {"include": "model_version"})["model_version"] != version:
        client.patch(f"/api/projects/{project_id}/", {"model_version": version or ""})


def _webhook_blocked(client: LabelStudioClient, settings: Settings, project_id: int) -> bool:
    body: dict[str, Any] = {
        "project": project_id,
        "url": f"{settings.lineup_url}/webhook",
        "send_for_all_actions": False,
        "actions": [_NO_EVENT],
    }
    try:
        hook = client.post("/api/webhooks/", body)
    except LabelStudioError as error:
        if error.status not in (400, 403):
            raise
        return BLOCKED in error.message
    client.delete(f"/api/webhooks/{hook['id']}/")
    return False


def _reason(message: str) -> str:
    """Return the reason in Label Studio's message: one line without markup."""
    found = re.search(r"(?:Reason|Additional info): (.*?)(?:\.?\\n|[\"']\]|$)", message)
    return " ".join(re.sub(r"<[^>]*>", "", found[1] if found else message).split())
