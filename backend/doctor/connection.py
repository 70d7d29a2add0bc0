"""Is a project connected to Lineup, and does each of its events come once, with credentials?"""

from __future__ import annotations

from backend.connect import webhook_headers
from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok


def check_connection(context: Context) -> Outcome:
    """See that Lineup is an ML backend of the project, in Label Studio's own view."""
    again = f"lineup connect --project {context.project_id}"
    backend, url = context.backend, context.settings.lineup_url
    if backend is None:
        return failure(f"the project has no ML backend at LINEUP_URL={url}", again)
    if backend["state"] not in ("CO", "TR", "PR"):
        said = backend.get("error_message") or "it did not answer or refused the user and password"
        return failure(f"Label Studio says of {url}: {backend['readable_state']} ({said})", again)
    return ok(f"{backend['title']} at {url} is {backend['readable_state'].lower()}")


def check_webhook(context: Context) -> Outcome:
    """See that there is one active webhook to Lineup, for all events, with the headers that let it in."""
    again = f"lineup connect --project {context.project_id}"
    target = f"{context.settings.lineup_url}/webhook"
    there = context.client.get("/api/webhooks/", {"project": context.project_id})
    hooks = [hook for hook in there if hook["url"].rstrip("/") == target]
    if not hooks:
        return failure(f"no webhook to {target}: events reach Lineup only by its poll", again)
    if len(hooks) > 1:
        return failure(f"{len(hooks)} webhooks to {target}: each event comes {len(hooks)} times", again)
    hook = hooks[0]
    wanted = webhook_headers(context.settings)
    sent = {name.lower(): value for name, value in (hook["headers"] or {}).items()}
    wrong = [name for name, value in wanted.items() if sent.get(name.lower()) != value]
    if wrong:
        return failure(
            f"the webhook to {target} lacks the right {' and '.join(wrong)}: its events are refused", again
        )
    if not hook["is_active"]:
        return failure(f"the webhook to {target} is switched off", again)
    if not (hook["send_payload"] and hook["send_for_all_actions"]):
        return failure(f"the webhook to {target} leaves out events or what they are about", again)
    return ok(f"one, to {target}, {'with credentials' if wanted else 'no credentials needed'}")
