"""How many threads do good on this machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# what the workers of one stream may hold together
WORKER_BYTES = 1_000_000_000


def usable_cpus() -> int:
    """Return the processors this process may use: its affinity, and a container's quota where there is one."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
    except (OSError, ValueError):  # no control groups, version 1, or another system: no quota to heed
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, math.ceil(int(quota) / int(period))))


def workers_within(bytes_each: int) -> int:
    """Return how many threads do good where each holds so many bytes: a gigabyte in all, or one thread."""
    return max(1, min(usable_cpus(), WORKER_BYTES // max(bytes_each, 1)))
