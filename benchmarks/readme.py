"""Put the newest benchmark figures into README.md: ``python -m benchmarks.readme``."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.loop import RESULTS, rows

README = Path(__file__).parent.parent / "README.md"


def fill(text: str, name: str, table: str) -> str:
    """Replace what stands between the marks ``<!-- name:start -->`` and ``<!-- name:end -->``."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    if not rest or not after:
        raise ValueError(f"README.md has no marks {start} and {end}")
    return f"{before}{start}\n{table}\n{end}{after}"


def main() -> None:
    """Entry point."""
    figures = json.loads(RESULTS.read_text())
    lines = ["| figure | Lineup | target | usual recipe | ratio |", "|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(figures)]
    lines.append(f"\nMeasured on {figures['machine']}.")
    README.write_text(fill(README.read_text(), "loop", "\n".join(lines)))


if __name__ == "__main__":
    main()
