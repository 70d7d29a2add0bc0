"""What `MODEL_DIR` may be: a path, or the URL of a place in an object store. Imports nothing that talks to one."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote, urlsplit

# what fsspec calls the store, and the package it needs
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}


def is_url(given: str) -> bool:
    """Tell whether a `MODEL_DIR` is a URL rather than a path."""
    return "://" in given


def local_path(url: str) -> Path | None:
    """Return the path a ``file://`` URL names; None for another URL.

    Raises
    ------
    ValueError
        If it names a file of another machine.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"MODEL_DIR={url} names another machine: file:///path has three slashes")
    return Path(unquote(parts.path))


def check_url(url: str) -> str:
    """Return the URL of a place in an object store in its normal form, without a slash at the end.

    Raises
    ------
    ValueError
        If there is no such store, it names no bucket, or holds credentials.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() not in PACKAGES:
        known = ", ".join(f"{scheme}://" for scheme in ("file", *PACKAGES))
        raise ValueError(f"MODEL_DIR is a path or begins with one of {known}")
    if "@" in parts.netloc and parts.scheme.lower() in ("s3", "s3a", "gs", "gcs"):
        # not repeated: it may be a password
        raise ValueError(
            "MODEL_DIR must hold no credentials: give them by the store's own variables, AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY for s3://"
        )
    if not parts.netloc or parts.query or parts.fragment:
        raise ValueError("MODEL_DIR as a URL is a bucket and a folder in it, for example s3://bucket/lineup")
    folders = [part for part in parts.path.split("/") if part]
    if any(part in (".", "..") for part in folders):
        raise ValueError("MODEL_DIR as a URL has no . and .. in it")
    return f"{parts.scheme.lower()}://{'/'.join([parts.netloc, *folders])}"


def working_folder(url: str, cache: Path) -> Path:
    """Return where a machine keeps what it works on of a URL: below ``cache``, a folder for each URL."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", url.split("://", 1)[1])[:40].strip(".-")
    return cache.expanduser() / f"{readable}-{blake2b(url.encode(), digest_size=6).hexdigest()}"
