"""The Dockerfile by the rules that hadolint checks, and by Lineup's own."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from backend.settings import Settings
from tests.docker.dockerfile import Stage, environment, read_stages

BUILD_TOOLS = ("gcc", "g++", "make", "build-essential", "cmake", "git ", "setuptools", "-dev")


@pytest.fixture(scope="module")
def stages(repository: Path) -> list[Stage]:
    return read_stages(repository / "Dockerfile")


def test_base_images_are_slim_and_of_a_fixed_version(stages: list[Stage]) -> None:
    named = {stage.name for stage in stages if stage.name}
    bases = {stage.base for stage in stages if stage.base not in named}
    assert len(bases) == 1
    image, _, tag = bases.pop().partition(":")
    assert image == "python"
    assert re.fullmatch(r"3\.\d+(\.\d+)?-slim-[a-z]+", tag)


def test_the_python_is_one_lineup_runs_on(stages: list[Stage], repository: Path) -> None:
    import tomllib

    wanted = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "requires-python"
    ]
    least = tuple(map(int, wanted.removeprefix(">=").split(".")))
    found = re.search(r"python:(\d+)\.(\d+)", stages[0].base)
    assert found is not None
    assert tuple(map(int, found.groups())) >= least


def test_no_package_manager_leaves_its_cache(stages: list[Stage]) -> None:
    for stage in stages:
        environ = environment(stage)
        base = next((other for other in stages if other.name == stage.base), None)
        inherited = environment(base) if base else {}
        for entry in stage.all("RUN"):
            assert "sudo" not in entry.text
            assert "apt " not in entry.text
            if "apt-get install" in entry.text:
                assert "--no-install-recommends" in entry.text
                assert "rm -rf /var/lib/apt/lists" in entry.text
            if "pip install" in entry.text:
                assert "--no-cache-dir" in entry.text or "1" in (
                    environ.get("PIP_NO_CACHE_DIR"),
                    inherited.get("PIP_NO_CACHE_DIR"),
                )


def test_only_files_are_copied_never_fetched(stages: list[Stage]) -> None:
    for stage in stages:
        assert not stage.all("ADD")
        assert not stage.all("MAINTAINER")
        for entry in stage.all("WORKDIR"):
            assert entry.text.startswith("/")
        for entry in stage.all("RUN"):
            assert not re.search(r"\b(curl|wget)\b", entry.text)
            assert "cd " not in entry.text


def test_pipes_do_not_hide_failures(stages: list[Stage]) -> None:
    for stage in stages:
        for entry in stage.all("RUN"):
            assert " | " not in entry.text or "pipefail" in entry.text


def test_the_last_stage_has_no_build_tools(stages: list[Stage]) -> None:
    last = stages[-1]
    assert len(stages) > 1
    assert last.base not in {stage.name for stage in stages}
    for entry in last.all("RUN"):
        assert not any(tool in entry.text for tool in BUILD_TOOLS)
        if "pip install" in entry.text:
            assert "--no-deps" in entry.text
            assert "--no-index" in entry.text


def test_code_is_a_layer_above_the_packages(stages: list[Stage]) -> None:
    copies = [entry.words[-1] for entry in stages[-1].all("COPY")]
    assert copies.index("/opt/lineup") < copies.index("/wheels")
    first = stages[0]
    names = [entry.text for entry in first.instructions if entry.name == "COPY"]
    assert names == ["requirements.txt requirements-s3.txt ./"]


def test_it_runs_as_a_user_that_is_not_root(stages: list[Stage]) -> None:
    last = stages[-1]
    users = last.all("USER")
    assert len(users) == 1
    assert users[0].text not in ("root", "0")
    assert any(f"useradd --create-home --uid 1001 {users[0].text}" in entry.text for entry in last.all("RUN"))
    after = last.instructions[last.instructions.index(users[0]) + 1 :]
    assert [entry.name for entry in after] == ["CMD"]


def test_start_and_health_are_exec_forms(stages: list[Stage]) -> None:
    last = stages[-1]
    [start] = last.all("CMD")
    assert start.words == ["lineup", "serve"]
    [health] = last.all("HEALTHCHECK")
    assert "/health" in health.text
    assert health.text.split("CMD ", 1)[1].startswith("[")


def test_what_it_sets_are_settings(stages: list[Stage]) -> None:
    environ = environment(stages[-1])
    ours = {name: value for name, value in environ.items() if name.lower() in Settings.model_fields}
    assert set(ours) == {"HOST", "PORT", "MODEL_DIR", "MODEL_CACHE"}
    assert set(environ) - set(ours) == {"PATH", "PYTHONUNBUFFERED", "HF_HOME"}
    settings = Settings(_env_file=None, **{name.lower(): value for name, value in ours.items()})  # type: ignore[call-arg]
    assert [entry.text for entry in stages[-1].all("EXPOSE")] == [str(settings.port)]
    [volumes] = stages[-1].all("VOLUME")
    assert set(volumes.words) == {str(settings.model_dir), environ["HF_HOME"]}
    assert str(settings.model_cache) in volumes.words
    made = " ".join(entry.text for entry in stages[-1].all("RUN"))
    assert all(f" {folder}" in made for folder in volumes.words)


def test_torch_is_the_cpus_unless_asked_otherwise(stages: list[Stage]) -> None:
    [argument] = stages[0].all("ARG")
    name, _, default = argument.text.partition("=")
    assert name == "TORCH_INDEX_URL"
    assert default.endswith("/cpu")


def test_what_is_copied_is_in_the_context_and_secrets_are_not(stages: list[Stage], repository: Path) -> None:
    lines = (repository / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source
        for stage in stages
        for entry in stage.all("COPY")
        if entry.flag("from") is None
        for source in entry.words[:-1]
    }
    assert copied == let_in
    assert all((repository / source).exists() for source in copied)
    for private in (".env", ".git", "models", "var", ".venv"):
        assert not any(fnmatch.fnmatch(private, rule) for rule in let_in)
