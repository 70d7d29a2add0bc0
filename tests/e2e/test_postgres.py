"""The loop with Label Studio on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from demo.label_studio import LabelStudioFailed, LabelStudioServer, executable
from demo.lineup import LineupServer
from tests.conftest import skip_unless_ci
from tests.e2e.conftest import QUICK
from tests.e2e.loop import run_loop
from tests.postgres import postgres


def test_the_loop_on_postgresql(tmp_path: Path) -> None:
    try:
        executable()
    except LabelStudioFailed as error:
        skip_unless_ci(str(error))
    with (
        postgres() as environment,
        LabelStudioServer(tmp_path / "label-studio", environment=environment) as server,
        LineupServer(server, tmp_path / "models", **QUICK) as lineup,
    ):
        assert not list(server.data_dir.glob("*.sqlite3"))
        run_loop(server, lineup, tmp_path / "labels.jsonl")
