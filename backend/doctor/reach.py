"""Can Label Studio reach Lineup, and may it?"""

from __future__ import annotations

import httpx

from backend.doctor.callback import Answers, Reached
from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped
from backend.settings import Settings

_FIXES: dict[Reached, str] = {
    "refused": "Run lineup serve and lineup doctor with the same BASIC_AUTH_USER and BASIC_AUTH_PASS",
    "another lineup": "Run lineup doctor with the settings of that server, or correct LINEUP_URL or MODEL_DIR",
    "another backend": "Set LINEUP_URL to the address of lineup serve as Label Studio reaches it",
    "something else": "Set LINEUP_URL to the address of lineup serve as Label Studio reaches it",
}
_LINES: dict[Reached, str] = {
    "refused": "the server at {url} refuses BASIC_AUTH_USER and BASIC_AUTH_PASS",
    "another lineup": "the Lineup at {url} keeps its state in another MODEL_DIR than {folder}",
    "another backend": "what answers Label Studio at {url} is an ML backend, but not this Lineup",
    "something else": "what answers Label Studio at {url} is not Lineup: {said}",
}


def check_callback(context: Context) -> Outcome:
    """Ask Label Studio to call Lineup at ``LINEUP_URL``, and see who answered."""
    url, answers = context.settings.lineup_url, _answers(context)
    if isinstance(answers, Outcome):
        return answers
    if answers.reached == "lineup":
        return ok(f"Label Studio called Lineup at {url}")
    if answers.reached == "blocked":
        return skipped(f"Label Studio does not even try {url}: see private addresses")
    if answers.reached == "nothing":
        if _answers_here(context.settings):
            return failure(
                f"Lineup answers at {url} from here, but not when Label Studio calls: {answers.said}",
                "Set LINEUP_URL to an address Label Studio's machine or container reaches, and HOST=0.0.0.0",
            )
        return failure(
            f"nothing answers Label Studio at LINEUP_URL={url}, nor from here",
            "Start lineup serve, or correct LINEUP_URL",
        )
    line = _LINES[answers.reached].format(url=url, folder=context.settings.model_dir, said=answers.said)
    return failure(line, _FIXES[answers.reached])


def check_private_addresses(context: Context) -> Outcome:
    """See whether Label Studio refuses Lineup's address because it is a private one."""
    url, answers = context.settings.lineup_url, _answers(context)
    if isinstance(answers, Outcome):
        return answers
    blocked = {
        "ML_BLOCK_LOCAL_IP=false": answers.reached == "blocked",
        "SSRF_PROTECTION_ENABLED=false": answers.webhook_blocked,
    }
    if any(blocked.values()):
        what = " and ".join(
            name for name, there in zip(("ML backends", "webhooks"), blocked.values(), strict=True) if there
        )
        wanted = " ".join(name for name, there in blocked.items() if there)
        return failure(
            f"Label Studio refuses {what} on private addresses such as {url}", f"Start it with {wanted}"
        )
    return ok(f"Label Studio takes an ML backend and a webhook at {url}")


def _answers(context: Context) -> Answers | Outcome:
    """Return what Label Studio answered, or why it could not be asked."""
    try:
        answers = context.answers
    except OSError:
        return skipped("MODEL_DIR cannot be written to: see disk")
    if answers is None:
        return skipped(
            "Label Studio has no project yet on behalf of which it could call",
            "Make a project in Label Studio",
        )
    return answers


def _answers_here(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.lineup_url}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
