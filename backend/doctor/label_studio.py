"""Is Label Studio there, and is it one that Lineup knows?"""

from __future__ import annotations

import httpx

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, warning
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.labelstudio.transport import describe, make_transport, refuse_page, timeouts

# what the test suite runs against, see requirements-label-studio.txt
TESTED = "1.23.2"
_PATH = "/api/version"


def check_label_studio(context: Context) -> Outcome:
    """Ask for Label Studio's version, without a token, so that a wrong one is not to blame."""
    url = context.settings.label_studio_url
    request = httpx.Request(
        "GET", url + _PATH, headers={"Accept": "application/json"}, extensions=timeouts(10.0)
    )
    try:
        with make_transport() as transport:
            response = transport.handle_request(request)
            response.read()
    except httpx.HTTPError as error:
        return failure(
            f"nothing answers at LABEL_STUDIO_URL={url}: {describe(error)}",
            "Start Label Studio, or correct LABEL_STUDIO_URL; inside a container localhost is the container itself",
        )
    try:
        refuse_page(response, "GET", _PATH, url)
        release = response.json().get("release") if response.status_code == 200 else None
    except LabelStudioUnreachable as error:
        return failure(
            f"what answers at LABEL_STUDIO_URL={url} is not Label Studio: {error.message}", error.hint
        )
    except (ValueError, AttributeError):
        release = None
    if response.status_code in (502, 503, 504):
        return failure(
            f"Label Studio at {url} is not available (status {response.status_code})",
            "It is starting, stopping or overloaded: look at its own log",
        )
    if not isinstance(release, str):
        return failure(
            f"what answers at LABEL_STUDIO_URL={url} is not Label Studio (status {response.status_code}, no version)",
            "Set LABEL_STUDIO_URL to the address at which Label Studio's start page opens",
        )
    if _release(release) < _release(TESTED):
        return warning(
            f"Label Studio {release} at {url} is older than {TESTED}, which Lineup is tested with",
            f"Update Label Studio: pip install -U 'label-studio>={TESTED}', or its image",
        )
    return ok(f"Label Studio {release} at {url}")


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
