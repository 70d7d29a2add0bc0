"""A real PostgreSQL for Label Studio."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.label_studio import free_port
from tests.conftest import skip_unless_ci


def postgres_bin() -> Path | None:
    """Folder of PostgreSQL's own commands."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres(
    user: str = "postgres", password: str = "", database: str = "postgres"
) -> Iterator[dict[str, str]]:
    """A PostgreSQL of its own on a free port; gives Label Studio's environment for it.

    Without a password it trusts everybody.
    """
    commands = postgres_bin()
    if commands is None:
        skip_unless_ci("PostgreSQL is not installed (initdb is not there)")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        skip_unless_ci("as root, PostgreSQL needs runuser to run as another user")
    folder = Path(tempfile.mkdtemp(prefix="lineup-postgres-"))
    prefix: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        prefix = ["runuser", "-u", "postgres", "--"]
    port, data = free_port(), folder / "data"

    def run(*command: str) -> None:
        environ = {**os.environ, "PGPASSWORD": password}
        done = subprocess.run(
            [*prefix, *command], capture_output=True, text=True, cwd=folder, env=environ, check=False
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"

    try:
        secret = folder / "password"
        secret.write_text(password or "unused", encoding="utf-8")
        secret.chmod(0o644)
        how = ["-A", "scram-sha-256" if password else "trust", f"--pwfile={secret}"]
        run(f"{commands}/initdb", "-D", str(data), "-U", user, *how, "-E", "UTF8")
        # nothing here has to survive a loss of power
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(folder / "postgres.log")
        run(f"{commands}/pg_ctl", "-D", str(data), "-o", options, "-l", log, "-w", "start")
        try:
            if database != "postgres":
                run(f"{commands}/createdb", "-h", str(folder), "-p", str(port), "-U", user, database)
            yield {
                "DJANGO_DB": "default",
                "POSTGRE_USER": user,
                "POSTGRE_PASSWORD": password,
                "POSTGRE_NAME": database,
                "POSTGRE_HOST": "127.0.0.1",
                "POSTGRE_PORT": str(port),
            }
        finally:
            run(f"{commands}/pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
