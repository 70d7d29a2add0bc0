"""How bytes travel: connections of their own, no proxies, no cookies, no redirects followed unseen."""

from __future__ import annotations

from functools import lru_cache
from ssl import SSLContext

import httpx

from backend.labelstudio.errors import LabelStudioUnreachable


@lru_cache(maxsize=1)
def _ssl_context() -> SSLContext:
    return httpx.create_ssl_context()


def make_transport() -> httpx.HTTPTransport:
    """Return a transport that opens a connection per request; safe under several threads.

    Label Studio's own server writes headers and body in two packets, so that every request on a kept-alive
    connection waits 40 ms for a delayed acknowledgement: 50 ms against 6 ms for the same call. A connection
    that is never reused is also never one that was checked for another host.
    """
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=0)
    return httpx.HTTPTransport(verify=_ssl_context(), trust_env=False, limits=limits)


def timeouts(read: float, connect: float = 10.0) -> dict[str, object]:
    """Return request extensions with these timeouts, in seconds."""
    return {"timeout": {"connect": min(connect, read), "read": read, "write": read, "pool": read}}


def describe(error: Exception) -> str:
    """Return what an exception says, or its name where it says nothing."""
    return str(error) or type(error).__name__


def refuse_page(response: httpx.Response, method: str, path: str, url: str) -> None:
    """Raise where a redirect or a web page came instead of an API answer: the address is not Label Studio's.

    Raises
    ------
    LabelStudioUnreachable
    """
    kind = response.headers.get("content-type", "")
    if response.is_redirect:
        message = f"redirected to {response.headers.get('location', '?')}"
        raise LabelStudioUnreachable(
            response.status_code,
            method,
            path,
            message,
            f"LABEL_STUDIO_URL is {url}: set it to the address Label Studio is opened at, https included",
        )
    if "html" in kind and response.status_code < 500:
        raise LabelStudioUnreachable(
            response.status_code,
            method,
            path,
            "a web page came back, not an API answer",
            f"LABEL_STUDIO_URL is {url}: it must be the address at which Label Studio's start page opens",
        )
