"""Setting up virtual environments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = "scripts/environment.py"


def set_up(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [sys.executable, str(repository / SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def environment(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it."""
    folder = tmp_path_factory.mktemp("environment")
    (folder / "none.txt").write_text("# nothing\n")
    done = set_up(repository, str(folder / "venv"), str(folder / "none.txt"))
    assert done.returncode == 0, done.stderr
    return folder / "venv"


def test_nothing_is_done_when_nothing_changed(repository: Path, environment: Path) -> None:
    nothing = str(environment.parent / "none.txt")
    assert set_up(repository, str(environment), nothing).returncode == 0
    again = set_up(repository, str(environment), nothing)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_changed_file_is_installed_anew_included_ones_too(repository: Path, environment: Path) -> None:
    base, more = environment.parent / "base.txt", environment.parent / "more.txt"
    base.write_text("# nothing\n")
    more.write_text("-r base.txt\n")
    assert "is ready" in set_up(repository, str(environment), str(more)).stdout
    assert set_up(repository, str(environment), str(more)).stdout == ""
    base.write_text("# nothing else\n")
    assert "is ready" in set_up(repository, str(environment), str(more)).stdout


def test_what_is_missing_is_said_in_one_line(repository: Path, environment: Path) -> None:
    done = set_up(repository, str(environment), "requirements-of-nobody.txt")
    assert done.returncode == 1
    assert done.stderr.strip() == "setup: requirements-of-nobody.txt is missing"


def test_without_network_one_line_says_so(
    repository: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    wanted = environment.parent / "wanted.txt"
    wanted.write_text("a-package-that-is-not-there==1\n")
    done = set_up(repository, str(environment), str(wanted))
    assert done.returncode == 1
    assert done.stderr.startswith("setup: the package index cannot be reached: no network?")
    assert len(done.stderr.splitlines()) == 1
