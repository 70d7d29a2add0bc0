"""The log: one line an event, on standard error, naming process, project, version and job, and no secret."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import SecretStr

from backend.settings import Settings

# libraries whose debug lines hold headers, signed addresses or task data
_TALKATIVE = (
    *("httpcore", "httpx", "urllib3", "label_studio_sdk", "asyncio", "PIL", "rq", "multipart", "faiss"),
    *("botocore", "aiobotocore", "s3fs", "gcsfs", "adlfs", "azure", "fsspec", "aiohttp"),
)
# what the libraries of object stores read themselves
_STORE_KEYS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)
# legacy tokens after their keyword, and personal access tokens with what is exchanged for them
_TOKENS = re.compile(r"(?<=Token )[0-9a-f]{40}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<=Basic )[A-Za-z0-9+/=]{8,}")
_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+(?=@)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HIDDEN = "***"
_SHORTEST = 4
_NONE: Mapping[str, str | int] = {}

_fields: contextvars.ContextVar[Mapping[str, str | int]] = contextvars.ContextVar("log_fields")


@contextmanager
def log_fields(**fields: str | int) -> Iterator[None]:
    """Add fields to every line that is logged inside: ``project``, ``version``, ``job``."""
    token = _fields.set({**_fields.get(_NONE), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def note_field(name: str, value: str | int) -> None:
    """Add a field that became known inside `log_fields`, until that ends; outside it would never end."""
    known = _fields.get(None)
    if known is not None:
        _fields.set({**known, name: value})


def configure(settings: Settings, role: str) -> None:
    """Set this process's log up.

    Parameters
    ----------
    settings : Settings
        Level, format, and the secrets that must not appear.
    role : str
        ``server``, ``worker`` or ``images``.
    """
    form = JsonFormatter if settings.log_format == "json" else TextFormatter
    handler = logging.StreamHandler()
    handler.setFormatter(form(role, secrets(settings)))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def secrets(settings: Settings) -> list[str]:
    """Return the values of all secret settings that are set, and of an object store's keys, the longest first."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    found = {value.get_secret_value() for value in values if isinstance(value, SecretStr)}
    found |= {os.environ.get(name, "") for name in _STORE_KEYS}
    return sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True)


class _Formatter(logging.Formatter):
    """What both formats share.

    Parameters
    ----------
    role : str
    hidden : collection of str
        Secrets.
    """

    def __init__(self, role: str, hidden: Collection[str]) -> None:
        super().__init__()
        self.role = role
        self._hidden = re.compile("|".join(map(re.escape, hidden))) if hidden else None

    def clean(self, text: str) -> str:
        """Return a text without secrets."""
        if self._hidden:
            text = self._hidden.sub(_HIDDEN, text)
        return _PASSWORD.sub(rf"\1:{_HIDDEN}", _TOKENS.sub(_HIDDEN, text))

    def stamp(self, record: logging.LogRecord) -> str:
        """Return the time, in UTC with milliseconds."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def trace(self, record: logging.LogRecord) -> str:
        """Return the traceback, empty without one."""
        return self.clean(self.formatException(record.exc_info)) if record.exc_info else ""


class TextFormatter(_Formatter):
    """``time LEVEL role logger: message [project=7 job=...]``, a traceback behind it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; control characters in a message cannot begin a line of their own."""
        message = _CONTROL.sub(_escape, self.clean(record.getMessage()))
        fields = " ".join(f"{name}={value}" for name, value in _fields.get(_NONE).items())
        line = f"{self.stamp(record)} {record.levelname} {self.role} {record.name}: {message}"
        line += f" [{fields}]" if fields else ""
        return "\n".join(part for part in (line, self.trace(record)) if part)


class JsonFormatter(_Formatter):
    """One JSON object a line: ``time``, ``level``, ``role``, ``logger``, ``message``, the fields, ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        entry: dict[str, str | int] = {
            "time": self.stamp(record),
            "level": record.levelname,
            "role": self.role,
            "logger": record.name,
            "message": self.clean(record.getMessage()),
            **_fields.get(_NONE),
        }
        if trace := self.trace(record):
            entry["traceback"] = trace
        return json.dumps(entry, ensure_ascii=True)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
