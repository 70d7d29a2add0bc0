"""A training as a process of its own, beside the embedded worker: `python -m backend.finetuning`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading

from backend.finetuning.run import NICENESS, run_training
from backend.jobs.base import Stopped
from backend.jobs.lifeline import die_with, exit_after_grace, ignore_interrupt
from backend.jobs.locks import training_lock
from backend.logs import configure
from backend.settings import get_settings

log = logging.getLogger(__name__)


def main() -> int:
    """Do the training that a project's record asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True, help="end when this process is gone")
    args = parser.parse_args()
    settings = get_settings()
    configure(settings, "training")
    stopping = threading.Event()

    def end(*_: object) -> None:
        stopping.set()
        exit_after_grace(0)

    def check() -> None:
        if stopping.is_set():
            raise Stopped

    signal.signal(signal.SIGTERM, end)
    ignore_interrupt()
    die_with(args.parent, stopping.set)
    os.nice(NICENESS)
    with training_lock(settings.project_dir(args.project)) as held:
        if not held:
            return 0
        try:
            run_training(settings, args.project, check=check)
        except Stopped:
            return 0
        except Exception as error:  # the record says it, too
            log.error("project %d: training failed: %s", args.project, error)
            log.debug("project %d", args.project, exc_info=error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
