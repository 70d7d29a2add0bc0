"""The log: one line an event, on standard error, naming the process that wrote it."""

from __future__ import annotations

import logging


def configure(level: str, role: str) -> None:
    """Set this process's log up.

    Parameters
    ----------
    level : str
        The setting LOG_LEVEL.
    role : str
        ``server``, ``worker`` or ``images``.
    """
    logging.basicConfig(level=level, format=f"%(asctime)s %(levelname)s {role} %(name)s: %(message)s")
    if level != "DEBUG":
        # a line for every call of Label Studio's API drowns what matters
        logging.getLogger("httpx").setLevel(logging.WARNING)
