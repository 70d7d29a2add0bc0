"""Run benchmarks: ``python -m benchmarks [NAME ...] --data DIR --weights FILE``, all that can run without a name.

Each measures the usual way and Lineup in one process, prints its tables and targets, and writes NAME.json and
NAME.png. ``python -m benchmarks.readme`` puts the figures into README and docs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks import (
    audit,
    data,
    embed,
    load,
    loop,
    mask_suspicion,
    masks,
    multilabel,
    priority,
    propagation,
    scaling,
    segmentation_probe,
    segmentation_unet,
    shards,
    suspicion,
    training,
)
from benchmarks.report import RESULTS, console, save
from benchmarks.report import load as load_results

# one line a benchmark: a module with `add_arguments`, `run`, `sheets` and `plot`
BENCHMARKS: dict[str, ModuleType] = {
    "embed": embed,
    "suspicion": suspicion,
    "multilabel": multilabel,
    "loop": loop,
    "load": load,
    "priority": priority,
    "propagation": propagation,
    "scaling": scaling,
    "shards": shards,
    "audit": audit,
    "training": training,
    "masks": masks,
    "segmentation_probe": segmentation_probe,
    "mask_suspicion": mask_suspicion,
    "segmentation_unet": segmentation_unet,
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all benchmarks' arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    data.add_arguments(parser)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results")
    for name, benchmark in BENCHMARKS.items():
        title = (benchmark.__doc__ or "").splitlines()[0]
        benchmark.add_arguments(parser.add_argument_group(name, title))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is named; return 2 if something that was named could not be run, or nothing could."""
    parser = make_parser()
    options = parser.parse_intermixed_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}: there are {', '.join(BENCHMARKS)}")
    names = options.names or list(BENCHMARKS)
    missing = 0
    for name in names:
        console.rule(name)
        try:
            run_one(name, options)
        except data.Missing as error:
            missing += 1
            verb = "cannot run" if options.names else "skipped"
            console.print(f"{name} {verb}: {error}", markup=False, soft_wrap=True)
    return 2 if missing and (options.names or missing == len(names)) else 0


def run_one(name: str, options: argparse.Namespace) -> None:
    """Run one benchmark, print its tables and write its results.

    Raises
    ------
    Missing
        If its data or weights are not there.
    """
    benchmark = BENCHMARKS[name]
    path = save(name, benchmark.run(options), options.results)
    figures = load_results(name, options.results)  # what is shown here is what the docs are filled from
    for sheet in benchmark.sheets(figures).values():
        sheet.show()
    benchmark.plot(figures, path.with_suffix(".png"))
    console.print(f"written: {path.name} and {path.stem}.png", markup=False)


if __name__ == "__main__":
    sys.exit(main())
