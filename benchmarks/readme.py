"""Put the figures of the last runs into README and docs: ``python -m benchmarks.readme``.

A document says where by a pair of marks, ``<!-- NAME:TABLE:start -->`` and ``<!-- NAME:TABLE:end -->``: a table of
the benchmark's `sheets`, ``plot`` or ``machine``. A benchmark that has not been run yet leaves its blocks alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.__main__ import BENCHMARKS
from benchmarks.report import RESULTS, console, describe, load

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"<!-- (\w+):(\w+):start -->\n.*?<!-- (\w+):(\w+):end -->", re.DOTALL)


def documents() -> Iterator[Path]:
    """Yield the files that may hold figures."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").glob("*.md"))


def fill(path: Path, results: Path = RESULTS) -> str:
    """Return the text of a document with the newest figures between its marks.

    Raises
    ------
    ValueError
        If marks do not pair or name something no benchmark has.
    """
    text = path.read_text(encoding="utf-8")

    def replace(found: re.Match[str]) -> str:
        name, what = found[1], found[2]
        if (name, what) != (found[3], found[4]):
            raise ValueError(f"{path.name}: {name}:{what}:start is followed by {found[3]}:{found[4]}:end")
        made = block(name, what, path, results)
        if made is None:
            return found[0]
        return f"<!-- {name}:{what}:start -->\n{made}\n<!-- {name}:{what}:end -->"

    filled, pairs = _BLOCK.subn(replace, text)
    marks = len(re.findall(r"<!-- \w+:\w+:(?:start|end) -->", text))
    if marks != 2 * pairs:
        raise ValueError(f"{path.name}: {marks} marks do not make {pairs} pairs of start and end")
    return filled


def block(name: str, what: str, path: Path, results: Path = RESULTS) -> str | None:
    """Return what belongs between two marks of the document at ``path``, or None before the first run.

    Raises
    ------
    ValueError
        If there is no such benchmark, or it has no such table.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"{path.name}: no benchmark {name!r}: there are {', '.join(BENCHMARKS)}")
    figures = load(name, results)
    if figures is None:
        return None
    if what == "machine":
        return describe(figures["machine"])
    if what == "plot":
        picture = Path(os.path.relpath(results / f"{name}.png", path.parent)).as_posix()
        return f"![{(BENCHMARKS[name].__doc__ or '').splitlines()[0]}]({picture})"
    sheets = BENCHMARKS[name].sheets(figures)
    if what not in sheets:
        raise ValueError(f"{path.name}: {name} has no table {what!r}: there are {', '.join(sheets)}")
    table: str = sheets[what].markdown()
    return table


def main() -> None:
    """Entry point."""
    for path in documents():
        path.write_text(fill(path), encoding="utf-8")
    for name in BENCHMARKS:
        if load(name) is None:
            console.print(f"{name} has not been run: make bench BENCH={name}")


if __name__ == "__main__":
    main()
