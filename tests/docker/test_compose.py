"""The compose files: against the specification's schema, and every name in them against what it is the name of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.cli import app
from backend.doctor.configuration import EXAMPLE_KEY, misspelt
from backend.settings import Settings
from demo.label_studio import LabelStudioFailed, executable
from tests.conftest import skip_unless_ci
from tests.docker.compose import load, merge, used_variables, variables_of
from tests.docker.dockerfile import environment, read_stages

FILES = ("docker-compose.yml", "docker-compose.gpu.yml")
# settings that a compose network decides, not the person who writes .env
EMPTIED = {"LABEL_STUDIO_PASSWORD", "POSTGRES_PASSWORD"}
FIXED = {"LABEL_STUDIO_URL", "LINEUP_URL", "REDIS_URL", "HOST", "PORT", "MODEL_DIR", *EMPTIED}


@pytest.fixture(scope="module")
def variables(repository: Path) -> dict[str, str]:
    return variables_of(repository / ".env.example")


@pytest.fixture(scope="module")
def stack(repository: Path, variables: dict[str, str]) -> dict[str, Any]:
    return load([repository / FILES[0]], variables)


@pytest.fixture(scope="module")
def with_gpu(repository: Path, variables: dict[str, str]) -> dict[str, Any]:
    return load([repository / name for name in FILES], variables)


@pytest.fixture(scope="module")
def last_stage(repository: Path) -> Any:
    return read_stages(repository / "Dockerfile")[-1]


def check_schema(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True)


def test_both_are_compose_files(repository: Path, tmp_path: Path, with_gpu: dict[str, Any]) -> None:
    merged = tmp_path / "merged.yml"
    merged.write_text(yaml.safe_dump(with_gpu), encoding="utf-8")
    done = check_schema(*(repository / name for name in FILES), merged)
    assert done.returncode == 0, done.stdout


def test_the_schema_finds_what_is_wrong(stack: dict[str, Any], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    spoilt = merge(stack, {"services": {"lineup": {"healthchek": {}}}})
    wrong.write_text(yaml.safe_dump(spoilt), encoding="utf-8")
    assert check_schema(wrong).returncode == 1


def test_the_example_environment_is_complete(repository: Path, variables: dict[str, str]) -> None:
    asked = set().union(*(used_variables(repository / name) for name in FILES))
    settings = {name.upper() for name in Settings.model_fields}
    assert asked <= set(variables)
    assert set(variables) <= asked | settings
    assert all(variables.values()), "an example without a value does not start"
    # a fixed one in .env would have no effect
    assert not set(variables) & (FIXED - EMPTIED)
    assert misspelt(variables) == {}


def test_the_example_credentials_work_and_are_known_as_such(variables: dict[str, str]) -> None:
    assert variables["LABEL_STUDIO_API_KEY"] == EXAMPLE_KEY
    assert re.fullmatch("[0-9a-f]{40}", EXAMPLE_KEY)
    # Label Studio refuses shorter ones
    assert len(variables["LABEL_STUDIO_PASSWORD"]) >= 8
    assert variables["BIND_ADDRESS"] == "127.0.0.1"
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert variables[name].isalnum()
    passwords = [value for name, value in variables.items() if name.endswith(("PASSWORD", "PASS", "SECRET"))]
    assert len(passwords) == 5
    assert all("changeme" in value.lower().replace("-", "") for value in passwords)


def test_the_example_environment_makes_settings(variables: dict[str, str], stack: dict[str, Any]) -> None:
    environ = {**variables, **stack["services"]["lineup"]["environment"]}
    given = {name.lower(): value for name, value in environ.items() if name.lower() in Settings.model_fields}
    settings = Settings(_env_file=None, **given)  # type: ignore[arg-type]
    assert settings.api_key == EXAMPLE_KEY
    assert settings.basic_auth_user


def test_settings_commented_out_in_the_example_are_settings(repository: Path) -> None:
    text = (repository / ".env.example").read_text(encoding="utf-8")
    names = re.findall(r"^# ([A-Z_]+)=", text, re.M)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def test_services_start_when_what_they_need_is_healthy(stack: dict[str, Any]) -> None:
    services = stack["services"]
    assert set(services) == {"postgres", "label-studio", "redis", "lineup", "worker"}
    needs = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    assert needs["label-studio"] == {"postgres"}
    assert needs["lineup"] == needs["worker"] == {"label-studio", "redis"}
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "test" in services[needed]["healthcheck"]
    assert services["worker"]["healthcheck"] == {"disable": True}


def test_images_are_of_a_fixed_version(stack: dict[str, Any], repository: Path) -> None:
    for name, service in stack["services"].items():
        image, _, tag = service["image"].partition(":")
        assert re.search(r"\d+\.\d+|^\d+-", tag), f"{name}: {image}:{tag}"
        assert "latest" not in tag
    pins = (repository / "requirements-label-studio.txt").read_text(encoding="utf-8")
    version = re.search(r"^label-studio==(\S+)", pins, re.M)
    assert version is not None
    assert stack["services"]["label-studio"]["image"].endswith(":" + version[1])


def test_lineups_image_has_lineups_version(stack: dict[str, Any], with_gpu: dict[str, Any]) -> None:
    from backend import __version__

    for name in ("lineup", "worker"):
        assert stack["services"][name]["image"] == f"lineup:{__version__}"
        assert with_gpu["services"][name]["image"] == f"lineup:{__version__}-gpu"


def test_variables_are_settings_or_label_studios(stack: dict[str, Any]) -> None:
    for name in ("lineup", "worker"):
        environ = stack["services"][name]["environment"]
        assert set(environ) == FIXED
        assert {key.lower() for key in set(environ) - EMPTIED} <= set(Settings.model_fields)
        assert {environ[key] for key in EMPTIED} == {""}
    try:
        source = executable().parent.parent
    except LabelStudioFailed as error:
        skip_unless_ci(str(error))
    [package] = source.glob("lib/python*/site-packages/label_studio")
    read = (package / "core/settings/base.py").read_text() + (package / "server.py").read_text()
    for path in ("core/settings/label_studio.py", "users/views.py", "organizations/functions.py"):
        read += (package / path).read_text() if (package / path).exists() else ""
    for key in stack["services"]["label-studio"]["environment"]:
        bare = key.removeprefix("LABEL_STUDIO_")
        assert re.search(rf"""['"]({key}|{bare})['"]""", read), f"Label Studio reads no {key}"


def test_addresses_lead_to_services_and_their_ports(stack: dict[str, Any], last_stage: Any) -> None:
    environ = stack["services"]["lineup"]["environment"]
    found = {
        name: re.match(r"\w+://(?:[^@]*@)?([\w-]+):(\d+)", environ[name]) for name in environ if "URL" in name
    }
    where = {name: match.groups() for name, match in found.items() if match}
    assert where == {
        "LABEL_STUDIO_URL": ("label-studio", "8080"),
        "LINEUP_URL": ("lineup", environ["PORT"]),
        "REDIS_URL": ("redis", "6379"),
    }
    image = environment(last_stage)
    assert {name: environ[name] for name in ("HOST", "PORT", "MODEL_DIR")} == {
        name: image[name] for name in ("HOST", "PORT", "MODEL_DIR")
    }
    for name, inside in {"label-studio": "8080", "lineup": image["PORT"]}.items():
        [port] = stack["services"][name]["ports"]
        assert port.startswith("127.0.0.1:")
        assert port.endswith(f":{inside}")
    for name in ("postgres", "redis", "worker"):
        assert "ports" not in stack["services"][name]


def test_postgresql_is_the_one_label_studio_asks(stack: dict[str, Any]) -> None:
    asks, has = (stack["services"][name]["environment"] for name in ("label-studio", "postgres"))
    assert asks["POSTGRE_HOST"] == "postgres"
    assert asks["DJANGO_DB"] == "default"
    for theirs, ours in {
        "POSTGRE_NAME": "DB",
        "POSTGRE_USER": "USER",
        "POSTGRE_PASSWORD": "PASSWORD",
    }.items():
        assert asks[theirs] == has[f"POSTGRES_{ours}"]


def test_label_studio_may_reach_a_private_network(stack: dict[str, Any]) -> None:
    environ = stack["services"]["label-studio"]["environment"]
    assert environ["ML_BLOCK_LOCAL_IP"] == environ["SSRF_PROTECTION_ENABLED"] == "false"


def test_every_volume_is_declared_used_and_one_of_the_images(stack: dict[str, Any], last_stage: Any) -> None:
    mounts = {
        name: dict(entry.split(":", 1) for entry in service.get("volumes", []))
        for name, service in stack["services"].items()
    }
    assert set().union(*mounts.values()) == set(stack["volumes"])
    [volumes] = last_stage.all("VOLUME")
    assert mounts["lineup"] == mounts["worker"]
    assert set(mounts["lineup"].values()) == set(volumes.words)


def test_commands_are_lineups(stack: dict[str, Any]) -> None:
    import typer

    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    program, *arguments = stack["services"]["worker"]["command"]
    assert program == "lineup"
    assert arguments[0] in known
    assert "command" not in stack["services"]["lineup"]


def test_the_gpu_goes_to_both_and_changes_nothing_else(
    stack: dict[str, Any], with_gpu: dict[str, Any]
) -> None:
    for name, service in with_gpu["services"].items():
        plain = stack["services"][name]
        if name not in ("lineup", "worker"):
            assert service == plain
            continue
        [device] = service["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
        assert service["build"] == {**plain["build"], "args": {"TORCH_INDEX_URL": ""}}
        assert {key for key in service if service[key] != plain.get(key)} == {"build", "image", "deploy"}
