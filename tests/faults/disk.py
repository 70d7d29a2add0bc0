"""A small disk of one's own that can be filled, and made read-only."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self


class SmallDisk:
    """A file system in memory, mounted for as long as its block; needs the right to mount.

    Parameters
    ----------
    folder : Path
        Where; created.
    size : str
        As ``mount`` takes it.
    """

    def __init__(self, folder: Path, size: str = "32m") -> None:
        self.folder = folder
        self.size = size
        self._mounts = 0

    @staticmethod
    def possible() -> bool:
        """Whether this process may mount."""
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0

    def __enter__(self) -> Self:
        self.folder.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={self.size}", "lineup-test", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._mounts:
            self._unmount()

    def fill(self, leave: int = 0) -> None:
        """Write a file until there is no room, then give ``leave`` bytes back."""
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            size = 1 << 20
            while size >= 1:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
            file.truncate(file.seek(0, 2) - leave)

    def empty(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink()

    def freeze(self) -> None:
        """Let nobody open anything for writing."""
        self._mount("--bind", str(self.folder), str(self.folder))
        subprocess.run(["mount", "-o", "remount,bind,ro", str(self.folder)], check=True)

    def thaw(self) -> None:
        """End `freeze`."""
        self._unmount()

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True)
        self._mounts += 1

    def _unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        self._mounts -= 1
