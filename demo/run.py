"""`python -m demo`: Lineup on a real Label Studio with real images; `--once` plays the people too, and ends."""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from demo.figures import found
from demo.label_studio import ROOT, LabelStudioFailed
from demo.lineup import LineupFailed
from demo.play import play
from demo.stage import AlreadyRunning, Stage
from demo.subjects import SUBJECTS


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="play annotator and reviewer, then end")
    parser.add_argument(
        "--kind",
        choices=sorted(SUBJECTS),
        default="choices",
        help="what the labels are (default: %(default)s)",
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "demo", help="where everything is kept")
    options = parser.parse_args(arguments)
    console = Console()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        with Stage(options.folder, console, SUBJECTS[options.kind]()) as stage:
            if options.once:
                return _once(stage)
            _stay(stage)
    except KeyboardInterrupt:
        console.print("\nEnded; nothing is left running. `make demo` goes on from here.")
        return 130 if options.once else 0
    except (AlreadyRunning, LabelStudioFailed, LineupFailed) as error:
        console.print(f"[bold red]demo:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    return 0


def _once(stage: Stage) -> int:
    start = time.monotonic()
    stage.project = stage.create_project(f"{stage.subject.title}, played by the demo")
    stage.connect()
    show_found(stage)
    improved = play(stage)
    stage.console.print(f"{time.monotonic() - start:.0f} s in all")
    return 0 if improved else 1


def _stay(stage: Stage) -> None:
    if not stage.open_project():
        stage.console.print(f"Project {stage.project} is there already and is used again.")
    stage.connect()
    show_found(stage)
    show_where(stage)
    while True:
        stage.lineup.check()
        if stage.label_studio.process is None or stage.label_studio.process.poll() is not None:
            raise LabelStudioFailed(f"Label Studio ended; see {stage.label_studio.log_path}")
        time.sleep(0.5)


def show_found(stage: Stage) -> None:
    """Print what was learned, and how many planted errors stand at the top of the suspicion order."""
    last = stage.lineup.wait(stage.project)
    if last.note:
        stage.console.print(f"[yellow]{last.note}[/]", soft_wrap=True)
    suspects = stage.reviewer().tasks("Review suspects")
    order, planted = [stage.index(task) for task in suspects], stage.subject.planted
    top, everything = found(order, planted, len(planted)), found(order, planted)
    accuracy = f"{last.accuracy:.1%}" if last.accuracy is not None else "unknown"
    stage.console.print(
        f"\n[bold]Version {last.version}[/]: {last.labels} labels, out-of-sample accuracy {accuracy}\n"
        f"[bold]{len(planted)} wrong labels were planted.[/]\n"
        f"  top {top.looked_at} of Review suspects: {top.hits} of them "
        f"(precision {top.precision:.0%}, recall {top.recall:.0%})\n"
        f"  all {everything.looked_at} suspects: {everything.hits} of them "
        f"(precision {everything.precision:.0%}, recall {everything.recall:.0%})\n",
        highlight=False,
    )


def show_where(stage: Stage) -> None:
    """Print where to click."""
    url = f"{stage.label_studio.url}/projects/{stage.project}/data"
    tabs = stage.reviewer()
    admin = stage.label_studio.admin
    text = (
        f"Sign in: [bold]{admin.email}[/], password [bold]{admin.password}[/]\n\n"
        f"1. Review suspects, the likeliest wrong first:\n   {url}?tab={tabs.tab('Review suspects')}\n"
        f"2. Label next, the most useful first:\n   {url}?tab={tabs.tab('Label next')}\n"
        "3. Press [bold]Label All Tasks[/]: the same order, pre-annotated. A few seconds after you submit,\n"
        "   the order follows.\n\n"
        f"Logs: {stage.lineup.log_path}\n      {stage.label_studio.log_path}\n\n"
        "[bold]Ctrl-C[/] ends both."
    )
    stage.console.print(Panel(text, title="Lineup is running", expand=False))
