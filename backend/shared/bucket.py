"""A place in an object store, by `fsspec`: whole objects, listings, and errors that name the setting."""

from __future__ import annotations

import copy
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from backend.shared.url import PACKAGES

T = TypeVar("T")

# part of an upload that stands in memory at a time
PART_BYTES = 8 * 2**20
# the store's own library tries again; more than this would only keep annotators waiting
_S3_OPTIONS: dict[str, Any] = {
    "max_concurrency": 1,  # with more, every read asks for the size first
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 2}},
}
_TRIES = 2
_NO_BUCKET = re.compile(r"bucket (?:does not exist|not found)", re.IGNORECASE)
_RIGHTS = (
    "Lineup needs to list the bucket, and to read, write and delete objects below MODEL_DIR: on S3 "
    "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"
)


class SharedFolderError(OSError):
    """The object store that `MODEL_DIR` names cannot be used now, or not by this user."""


class Vanished(FileNotFoundError):
    """There is no such object, or not any more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing: its name below what was listed, bytes, and seconds since it was written."""

    name: str
    size: int
    age: float


class Bucket:
    """Objects below one URL; a put is seen whole or not at all, and by the next reader.

    Credentials, regions and endpoints are the store's library's own business (``AWS_ACCESS_KEY_ID``,
    ``AWS_ENDPOINT_URL``, ...). Any number of threads may use it.

    Parameters
    ----------
    url : str
        As `backend.shared.url.check_url` returns it.

    Raises
    ------
    SharedFolderError
        If the store's library is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        scheme, self._root = url.split("://", 1)
        self._package = package = PACKAGES[scheme]
        # one for all places of this bucket
        self._trouble: list[str] = []
        options = _S3_OPTIONS if package == "s3fs" else {}
        try:
            import fsspec
        except ImportError as error:
            raise SharedFolderError(f"MODEL_DIR={url} needs fsspec: pip install fsspec") from error
        try:
            self._fs = fsspec.filesystem(
                scheme, use_listings_cache=False, skip_instance_cache=True, **options
            )
        except ImportError as error:
            # s3fs and gcsfs are released together with fsspec
            pin = "" if package == "adlfs" else f"=={fsspec.__version__}"
            raise SharedFolderError(
                f"MODEL_DIR={url} needs {package}, which is not installed: pip install {package}{pin}"
            ) from error
        except Exception as error:
            raise SharedFolderError(f"MODEL_DIR={url} cannot be used: {_said(error)}") from error
        if package == "s3fs":
            self._fs.retries = _TRIES

    @property
    def problem(self) -> str | None:
        """Why the last request, here or at another place of the bucket, failed; None after one that did not."""
        return next(iter(self._trouble), None)

    def at(self, folder: str) -> Self:
        """Return a place below this one."""
        place = copy.copy(self)
        place._root = f"{self._root}/{folder}"
        return place

    def get(self, name: str) -> bytes:
        """Return an object.

        Raises
        ------
        Vanished
            If there is none.
        SharedFolderError
            If the store cannot tell; as everywhere below.
        """
        return bytes(self._ask("read", lambda: self._fs.cat_file(self._path(name)), name))

    def put(self, name: str, data: bytes) -> None:
        """Write an object in one step."""
        self._ask("written", lambda: self._fs.pipe_file(self._path(name), data))

    def fetch(self, name: str, target: Path) -> None:
        """Copy an object into a file; a failure may leave half of it.

        Raises
        ------
        Vanished
            If there is none.
        """
        self._ask("read", lambda: self._fs.get_file(self._path(name), str(target)), name)

    def fetch_whole(self, name: str, target: Path) -> None:
        """Copy an object into a file that appears whole or not at all; its folder is created.

        Raises
        ------
        Vanished
            If there is none.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            self.fetch(name, draft)
            os.replace(draft, target)
        finally:
            draft.unlink(missing_ok=True)

    def push(self, source: Path, name: str) -> None:
        """Write a file as an object in one step, however large it is, with little of it in memory."""
        more = {"chunksize": PART_BYTES, "max_concurrency": 2} if self._package == "s3fs" else {}
        self._ask("written", lambda: self._fs.put_file(str(source), self._path(name), **more))

    def list(self, folder: str = "") -> list[Entry]:
        """Return all objects below a folder, by name."""
        path = self._path(folder) if folder else self._root

        def find() -> list[Entry]:
            now, found = time.time(), self._fs.find(path, detail=True)
            return sorted(
                (
                    Entry(name[len(path) + 1 :], int(info.get("size") or 0), now - _written(info, now))
                    for name, info in found.items()
                    if name.startswith(path + "/")
                ),
                key=lambda entry: entry.name,
            )

        return self._ask("listed", find)

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, in this order; those that are gone are gone."""
        for name in names:
            try:
                self._ask("deleted from", lambda name=name: self._fs.rm_file(self._path(name)), name)  # type: ignore[misc]
            except Vanished:
                continue

    def move(self, folder: str, target: str) -> None:
        """Move all objects below a folder, one by one."""
        for entry in self.list(folder):
            old, new = f"{folder}/{entry.name}", f"{target}/{entry.name}"
            self._ask("written", lambda old=old, new=new: self._fs.cp_file(self._path(old), self._path(new)))  # type: ignore[misc]
            self.delete([old])

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _ask(self, done: str, call: Callable[[], T], name: str | None = None) -> T:
        """Make a request; every failure but the absence of ``name`` is a `SharedFolderError`."""
        try:
            answer = call()
        except FileNotFoundError as error:
            if name is not None and not _NO_BUCKET.search(str(error)):
                self._trouble.clear()
                raise Vanished(f"{self._path(name)} is not there") from error
            raise self._failed(done, _said(error), "Create it, or correct MODEL_DIR") from error
        except PermissionError as error:
            raise self._failed(done, _said(error), _RIGHTS) from error
        except Exception as error:  # each store has errors of its own
            raise self._failed(done, _said(error), "See: lineup doctor") from error
        self._trouble.clear()
        return answer

    def _failed(self, done: str, said: str, hint: str) -> SharedFolderError:
        message = f"MODEL_DIR={self.url} cannot be {done}: {said}. {hint}"
        self._trouble[:] = [message]
        return SharedFolderError(message)


def _written(info: dict[str, Any], now: float) -> float:
    """Return when an object was written, by the names the stores have for it."""
    moment = info.get("LastModified") or info.get("mtime") or info.get("updated") or info.get("last_modified")
    stamp = getattr(moment, "timestamp", None)
    return float(stamp()) if stamp else now


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")[:300]
    return text or type(error).__name__
