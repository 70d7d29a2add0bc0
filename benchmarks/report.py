"""What all benchmarks share: tables for the terminal and the docs, targets, plots, and the file of results."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ml.embedders.threads import usable_cpus

RESULTS = Path(__file__).parent / "results"
_LIBRARIES = ("numpy", "scikit-learn", "cleanlab", "torch", "timm", "faiss-cpu")

console = Console(width=max(Console().width, 150))


@dataclass(frozen=True)
class Sheet:
    """A table that a terminal shows and the docs hold.

    Attributes
    ----------
    title : str
        Shown in the terminal; in the docs the text around it says as much.
    columns : sequence of str
        The first is aligned left, the others right.
    rows : sequence of sequences of str
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it."""
        table = Table(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Return it as a table of Markdown."""
        lines = [list(self.columns), ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@dataclass(frozen=True)
class Target:
    """What was aimed at, and what was measured."""

    what: str
    figure: str
    wanted: str
    met: bool


def at_least(what: str, value: float, bound: float, form: str = "{:.3f}") -> Target:
    """Return the target that ``value`` reaches ``bound``; one that is not a number misses it."""
    return Target(what, form.format(value), f"≥ {form.format(bound)}", value >= bound)


def at_most(what: str, value: float, bound: float, form: str = "{:.3f}") -> Target:
    """Return the target that ``value`` stays within ``bound``; one that is not a number misses it."""
    return Target(what, form.format(value), f"≤ {form.format(bound)}", value <= bound)


def target_sheet(name: str, targets: Sequence[Target]) -> Sheet:
    """Return the table of targets."""
    rows = [(one.what, one.figure, one.wanted, "met" if one.met else "missed") for one in targets]
    return Sheet(f"{name}: targets", ("target", "measured", "wanted", ""), rows)


def machine() -> dict[str, Any]:
    """Return what a run was made on: processor, cores, memory, versions and day; no names, no paths."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": usable_cpus(),
        "memory_gib": round(pages / 2**30),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def describe(found: dict[str, Any]) -> str:
    """Return a line on the machine a run was made on, as far as the run wrote it down."""
    forms = {"memory_gib": "{} GiB", "python": "Python {}"}
    parts = [f"{found['cores']} cores ({found['processor']})"]
    parts += [form.format(found[key]) for key, form in forms.items() if key in found]
    parts += [f"{name} {version}" for name, version in found.get("libraries", {}).items()]
    day = f" on {found['date']}" if "date" in found else ""
    return f"Measured{day}: {', '.join(parts)}."


def save(name: str, figures: dict[str, Any], folder: Path) -> Path:
    """Write the figures of a benchmark and the machine they are of."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **_plain(figures)}, indent=1) + "\n", encoding="utf-8")
    return path


def load(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """Return the figures of a benchmark's last run, or None if there was none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


@contextmanager
def drawing(path: Path, columns: int = 1, size: tuple[float, float] = (9, 3.6)) -> Iterator[list[Any]]:
    """Yield the axes of a figure in one row, in the one style of all plots; written as PNG at the end."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained", squeeze=False)
    for one in axes[0]:
        one.spines[["top", "right"]].set_visible(False)
    yield list(axes[0])
    for one in axes[0]:
        if one.get_legend_handles_labels()[0]:
            one.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def peak_memory(pid: int | str = "self") -> int:
    """Return the largest resident memory a process has had since it began its program, in bytes.

    Raises
    ------
    RuntimeError
        If the system does not tell.
    """
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status does not tell the peak memory")


def _plain(value: Any) -> Any:
    """Return figures with five significant digits, and None for what is not a number."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def _processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
