"""The Dockerfile's own steps, carried out in their order without Docker: a folder stands for each stage's file system.

What is different from a build: absolute folders lie below a temporary one; the account is not made; and the virtual
environment sees the packages of the test suite's own, so that pip checks each pin and
downloads none of them again (that would be a gigabyte).
"""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from demo.label_studio import free_port, stop_process
from tests.docker.dockerfile import Instruction, Stage, environment, read_stages

FOLDERS = re.compile(r"(?<![\w./-])/(?=(opt|src|wheels|data|home)\b)")
ACCOUNT = re.compile(r"^useradd .*? && install -d -o lineup ")


class Build:
    """Carries out stages below one folder, which is moved aside for each stage as images are."""

    def __init__(self, context: Path, folder: Path) -> None:
        self.context = context
        self.folder = folder
        self.root = folder / "root"
        self.output = ""

    def run(self, stages: list[Stage]) -> None:
        """Carry out all stages; what is left in `root` is the image."""
        for stage in stages:
            if self.root.exists():
                self.root.rename(self.folder / f"stage-{self._last}")
            self.environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **_pip_of_this_machine()}
            if stage.base in {other.name for other in stages if other.name}:
                shutil.copytree(self.folder / f"stage-{stage.base}", self.root, symlinks=True)
                self.environ |= environment(next(other for other in stages if other.name == stage.base))
                self.work = self.root / "src"
            else:
                self.root.mkdir()
                self.work = self.root
            self._last = stage.name
            for entry in stage.instructions:
                getattr(self, f"_{entry.name.lower()}", self._nothing)(entry)

    def path(self, absolute: str) -> Path:
        """Where a folder of the image lies."""
        return self.root / absolute.lstrip("/")

    def here(self, text: str) -> str:
        """Return a text with the image's folders replaced by where they lie."""
        return FOLDERS.sub(f"{self.root}/", text)

    def _nothing(self, entry: Instruction) -> None:
        assert entry.name in ("LABEL", "VOLUME", "EXPOSE", "HEALTHCHECK", "USER", "CMD"), entry.name

    def _arg(self, entry: Instruction) -> None:
        # --build-arg TORCH_INDEX_URL=: the index this machine uses
        self.environ[entry.text.partition("=")[0]] = ""

    def _env(self, entry: Instruction) -> None:
        for word in entry.words:
            name, _, value = word.partition("=")
            self.environ[name] = self.here(value).replace("$PATH", self.environ["PATH"])

    def _workdir(self, entry: Instruction) -> None:
        self.work = self.path(entry.text)
        self.work.mkdir(parents=True, exist_ok=True)

    def _copy(self, entry: Instruction) -> None:
        *sources, target = entry.words
        stage = entry.flag("from")
        for source in sources:
            found = (
                self.context / source
                if stage is None
                else self.folder / f"stage-{stage}" / source.lstrip("/")
            )
            place = self.path(target) if target.startswith("/") else self.work / target
            if found.is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(found, place, symlinks=True, ignore=skip if stage is None else None)
            else:
                shutil.copy(found, place)

    def _run(self, entry: Instruction) -> None:
        command = self.here(ACCOUNT.sub("install -d ", entry.text))
        assert "useradd" not in command, "the test must not make accounts"
        # the base image's python
        command = re.sub(r"^python ", f"{sys.executable} ", command)
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=self.work,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"RUN {entry.text}\n{done.stdout}{done.stderr}"
        self.output += done.stdout
        if " -m venv " in entry.text:
            _see_packages(self.path("/opt/lineup"), self.folder / "packages")


def _pip_of_this_machine() -> dict[str, str]:
    """The index and proxies this machine's pip is told to use."""
    names = [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]
    return {name: os.environ[name] for name in names}


def _see_packages(venv: Path, folder: Path) -> None:
    """Let a virtual environment see this one's packages, Lineup itself left out."""
    folder.mkdir()
    for source in map(Path, site.getsitepackages()):
        for entry in source.iterdir():
            if not re.match(r"lineup-|__editable__|pip\b|pip-|setuptools|_distutils|.*\.pth$", entry.name):
                (folder / entry.name).symlink_to(entry)
    [packages] = venv.glob("lib/python*/site-packages")
    (packages / "suite.pth").write_text(f"{folder}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def image(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    build = Build(repository, tmp_path_factory.mktemp("image"))
    build.run(read_stages(repository / "Dockerfile"))
    return build


def test_every_pin_can_be_had_together(image: Build, repository: Path) -> None:
    names = ("requirements.txt", "requirements-s3.txt")
    pins = "\n".join((repository / name).read_text(encoding="utf-8") for name in names)
    for name in re.findall(r"^([\w-]+)(?:\[\w+\])?==", pins, re.M):
        assert re.search(rf"^Requirement already satisfied: {name}\b", image.output, re.M | re.I), name


def test_the_image_has_lineup_and_not_its_sources(image: Build) -> None:
    assert image.path("/opt/lineup/bin/lineup").exists()
    [package] = image.path("/opt/lineup").glob("lib/python*/site-packages/backend/app.py")
    assert package.is_file()
    assert not image.path("/src").exists()
    assert {path.name for path in image.root.iterdir()} == {"opt", "wheels", "data", "home"}
    assert not list(image.path("/opt/lineup").glob("lib/python*/site-packages/tests"))


def test_it_starts_and_the_health_check_sees_it(image: Build, repository: Path, tmp_path: Path) -> None:
    last = read_stages(repository / "Dockerfile")[-1]
    [health], [start] = last.all("HEALTHCHECK"), last.all("CMD")
    check = Instruction("CMD", health.text.split("CMD ", 1)[1]).words
    port = free_port()
    environ = {
        **image.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LABEL_STUDIO_URL": "http://127.0.0.1:9",
        "LABEL_STUDIO_API_KEY": "a" * 40,
        "EMBEDDER": "pixels",
    }

    def healthy() -> bool:
        done = subprocess.run(check, env=environ, cwd=tmp_path, capture_output=True, timeout=30)
        return done.returncode == 0

    assert not healthy()
    program = shutil.which(start.words[0], path=environ["PATH"])
    assert program == str(image.path("/opt/lineup/bin/lineup"))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *start.words[1:]],
            env=environ,
            cwd=image.path("/home/lineup"),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 60
        while not healthy():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        from backend import __version__

        said = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).json()
        assert said["version"] == __version__
        while not any(image.path("/data/models").iterdir()):  # the worker's first file
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        stop_process(process)
    assert process.returncode is not None
    assert not healthy()
