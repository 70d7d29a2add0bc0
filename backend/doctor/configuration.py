"""Are the settings ones Lineup can start with?"""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, warning
from backend.settings import Settings

# values of .env.example, which everybody knows
EXAMPLE_KEY = "c0ffee" * 6 + "c0ff"
EXAMPLE_WORD = "changeme"
_TOKEN = "In Label Studio: your picture, Account & Settings, Personal Access Token"


def check_settings(context: Context) -> Outcome:
    """Look at all settings: values, what must be given, names that are nearly one, and example credentials."""
    try:
        settings = context.settings
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])).upper() or 'together'}: {item['msg']}"
            for item in error.errors()
        )
        return failure(f"a setting is wrong: {wrong}", "Correct it in the environment or in .env")
    if not settings.label_studio_url:
        return failure("LABEL_STUDIO_URL is not set", "Set it to the address at which Label Studio opens")
    if not settings.api_key:
        return failure("LABEL_STUDIO_API_KEY is not set", f"{_TOKEN}; set LABEL_STUDIO_API_KEY to it")
    slips = misspelt([*os.environ, *dotenv_values(Path(".env"))])
    if slips:
        said = ", ".join(f"{name} (meant: {meant}?)" for name, meant in slips.items())
        return warning(
            f"no setting has this name, so it has no effect: {said}", "Correct the name or remove it"
        )
    examples = _examples(settings)
    if examples:
        return warning(
            f"{' and '.join(examples)} as in .env.example, which everybody knows",
            "Change them in .env before others can reach this machine",
        )
    if not _local(settings.host) and not (
        settings.basic_auth_user or settings.webhook_secret.get_secret_value()
    ):
        return warning(
            f"HOST={settings.host} is open to the network, and anybody there may send events and ask for predictions",
            "Set BASIC_AUTH_USER and BASIC_AUTH_PASS, then: lineup connect --project ID",
        )
    return ok(f"Label Studio at {settings.label_studio_url}, Lineup at {settings.lineup_url}")


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Return names that are nearly those of settings, with what was probably meant."""
    known = [name.upper() for name in Settings.model_fields]
    slips = {}
    for name in names:
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.9)
        if near and name.upper() not in known:
            slips[name] = near[0]
    return slips


def _examples(settings: Settings) -> list[str]:
    secrets = {
        "BASIC_AUTH_PASS": settings.basic_auth_pass.get_secret_value(),
        "WEBHOOK_SECRET": settings.webhook_secret.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }
    found = [name for name, value in secrets.items() if EXAMPLE_WORD in value.lower().replace("-", "")]
    return ["LABEL_STUDIO_API_KEY", *found] if settings.api_key == EXAMPLE_KEY else found


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
