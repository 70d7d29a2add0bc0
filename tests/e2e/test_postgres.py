"""The loop with Label Studio on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.label_studio import LabelStudioFailed, LabelStudioServer, executable, free_port
from demo.lineup import LineupServer
from tests.conftest import skip_unless_ci
from tests.e2e.conftest import QUICK
from tests.e2e.loop import run_loop


def postgres_bin() -> Path | None:
    """Folder of PostgreSQL's own commands."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """A PostgreSQL of its own on a free port; gives Label Studio's environment for it."""
    commands = postgres_bin()
    if commands is None:
        skip_unless_ci("PostgreSQL is not installed (initdb is not there)")
    folder = Path(tempfile.mkdtemp(prefix="lineup-postgres-"))
    prefix: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        prefix = ["runuser", "-u", "postgres", "--"]
    port, data = free_port(), folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run([*prefix, *command], capture_output=True, text=True, cwd=folder, check=False)
        assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"

    try:
        run(f"{commands}/initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8")
        # nothing here has to survive a loss of power
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(folder / "postgres.log")
        run(f"{commands}/pg_ctl", "-D", str(data), "-o", options, "-l", log, "-w", "start")
        try:
            yield {
                "DJANGO_DB": "default",
                "POSTGRE_USER": "postgres",
                "POSTGRE_PASSWORD": "",
                "POSTGRE_NAME": "postgres",
                "POSTGRE_HOST": "127.0.0.1",
                "POSTGRE_PORT": str(port),
            }
        finally:
            run(f"{commands}/pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


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


@pytest.fixture(autouse=True)
def _only_where_processes_can_be_other_users() -> None:
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        skip_unless_ci("as root, PostgreSQL needs runuser to run as another user")
