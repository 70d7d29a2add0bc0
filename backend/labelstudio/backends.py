"""Register Lineup as an ML backend of a project."""

from __future__ import annotations

from typing import Any

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError


def connect_backend(
    client: LabelStudioClient,
    project_id: int,
    url: str,
    *,
    title: str = "Lineup",
    user: str = "",
    password: str = "",
) -> int:
    """Connect Lineup to the project, or bring an existing connection up to date; return the backend's id.

    Label Studio calls ``/health`` and ``/setup`` of ``url`` before it answers, so Lineup must be running.

    Parameters
    ----------
    url : str
        Address of Lineup as Label Studio reaches it.
    user, password : str
        Basic auth for Label Studio to send; empty for none.

    Raises
    ------
    LabelStudioError
        If Label Studio cannot reach Lineup, refuses its address, or is refused by it.
    """
    url = url.rstrip("/")
    body: dict[str, Any] = {
        "project": project_id,
        "url": url,
        "title": title,
        "is_interactive": False,
        "auth_method": "BASIC_AUTH" if user else "NONE",
    }
    if user:
        body |= {"basic_auth_user": user, "basic_auth_pass": password}
    try:
        backends = client.get("/api/ml/", {"project": project_id})
        same = [backend for backend in backends if backend["url"].rstrip("/") == url]
        if same:
            # without url, project and auth_method Label Studio answers a PATCH with 500
            return int(client.patch(f"/api/ml/{same[0]['id']}", {**body, "title": same[0]["title"]})["id"])
        return int(client.post("/api/ml/", body)["id"])
    except LabelStudioError as error:
        if error.status in (400, 403):
            raise LabelStudioError(
                error.status, error.method, error.path, error.message, _hint(error.message, url)
            ) from error
        raise


def backend_urls(client: LabelStudioClient, project_id: int) -> list[str]:
    """Return the addresses of the project's ML backends; Label Studio calls ``/setup`` of each before it answers."""
    return [str(backend["url"]).rstrip("/") for backend in client.get("/api/ml/", {"project": project_id})]


def _hint(message: str, url: str) -> str:
    if "reserved network" in message:
        return (
            "Label Studio refuses backends on local addresses: start it with ML_BLOCK_LOCAL_IP=false and "
            "SSRF_PROTECTION_ENABLED=false"
        )
    if "401" in message or "credentials" in message.lower() or "unauthorized" in message.lower():
        return "Lineup refused BASIC_AUTH_USER and BASIC_AUTH_PASS: does the running server use the same?"
    return f"Is Lineup running, and can Label Studio reach it at {url} (LINEUP_URL)?"
