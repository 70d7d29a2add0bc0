"""What `cp .env.example .env && docker compose up` starts, without Docker: the same programs with the same environment.

Only where a service is found differs: on a free port of this machine instead of under its name.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from demo.label_studio import LabelStudioFailed, executable, free_port
from tests.conftest import skip_unless_ci
from tests.docker.compose import load, variables_of
from tests.docker.dockerfile import environment, read_stages
from tests.docker.services import running, running_redis
from tests.postgres import postgres

CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="shade" toName="image">'
    '<Choice value="dark"/><Choice value="bright"/></Choices></View>'
)
# a machine of tests reaches nothing outside
OFFLINE = {
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}


def picture(number: int) -> dict[str, Any]:
    """A task with a grey image, dark for even numbers, and the first eight labelled."""
    file = io.BytesIO()
    Image.new("L", (32, 32), 20 + number + 190 * (number % 2)).save(file, "PNG")
    task: dict[str, Any] = {
        "data": {"image": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()}
    }
    if number < 8:
        value = {"choices": [("dark", "bright")[number % 2]]}
        region = {"from_name": "shade", "to_name": "image", "type": "choices", "value": value}
        task["annotations"] = [{"result": [region]}]
    return task


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_stack_works_as_it_is_given(repository: Path, tmp_path: Path) -> None:
    try:
        program = executable()
    except LabelStudioFailed as error:
        skip_unless_ci(str(error))
    if shutil.which("redis-server") is None:
        skip_unless_ci("redis-server is not installed")
    variables = variables_of(repository / ".env.example")
    services = load([repository / "docker-compose.yml"], variables)["services"]
    database = services["postgres"]["environment"]
    theirs, ours = free_port(), free_port()
    label_studio, lineup = f"http://127.0.0.1:{theirs}", f"http://127.0.0.1:{ours}"
    with (
        postgres(database["POSTGRES_USER"], database["POSTGRES_PASSWORD"], database["POSTGRES_DB"]) as found,
        running_redis(services["redis"]["command"], tmp_path / "redis", variables["REDIS_PASSWORD"]) as redis,
    ):
        there = {
            "label-studio:8080": f"127.0.0.1:{theirs}",
            "lineup:9090": f"127.0.0.1:{ours}",
            "redis:6379": f"127.0.0.1:{redis.connection_pool.connection_kwargs['port']}",
        }
        environ = {
            **environment(read_stages(repository / "Dockerfile")[-1]),
            **variables,
            **{
                name: re.sub("|".join(there), lambda place: there[place[0]], value)
                for name, value in services["lineup"]["environment"].items()
            },
            "HOST": "127.0.0.1",
            "PORT": str(ours),
            "MODEL_DIR": str(tmp_path / "models"),
            "EMBEDDER": "pixels",
            "PYTHONPATH": str(repository),
        }
        del environ["PATH"]
        at = {name: found[name] for name in ("POSTGRE_HOST", "POSTGRE_PORT")}
        image = {"LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "data"), "BROWSER": "true"}
        given = {
            **services["label-studio"]["environment"],
            **at,
            **image,
            **OFFLINE,
            "LABEL_STUDIO_PORT": str(theirs),
        }
        with running(
            [str(program)], given, tmp_path / "label-studio", lambda: answers(f"{label_studio}/health"), 240
        ):
            command = [sys.executable, "-m", "backend.cli"]
            serve = running(
                [*command, "serve"], environ, tmp_path / "serve", lambda: answers(f"{lineup}/health"), 60
            )
            worker = running(
                [*command, *services["worker"]["command"][1:]], environ, tmp_path / "worker", lambda: True, 60
            )
            with serve, worker:
                _use(label_studio, variables, command, {**environ, "COLUMNS": "300"}, tmp_path)


def _use(
    url: str, variables: dict[str, str], command: list[str], environ: dict[str, str], folder: Path
) -> None:
    """Do what the README says: make a project, connect it, ask the doctor."""
    token = {"Authorization": f"Token {variables['LABEL_STUDIO_API_KEY']}"}
    with httpx.Client(base_url=url, headers=token, timeout=60, trust_env=False) as admin:
        assert admin.get("/api/current-user/whoami").json()["email"] == variables["LABEL_STUDIO_USERNAME"]
        project = admin.post("/api/projects", json={"title": "stack", "label_config": CONFIG}).json()["id"]
        tasks = [picture(number) for number in range(16)]
        assert admin.post(f"/api/projects/{project}/import", json=tasks).status_code == 201
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as stranger:
        csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', stranger.get("/user/signup/").text)
        form = {
            "email": "eve@example.com",
            "password": "long-enough",
            "csrfmiddlewaretoken": csrf[1] if csrf else "",
        }
        assert stranger.post("/user/signup/", data=form).status_code == 403
        assert stranger.get("/api/current-user/whoami").status_code == 401

    def lineup(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], env=environ, cwd=folder, capture_output=True, text=True)

    connected = lineup("connect", "--project", str(project))
    assert connected.returncode == 0, connected.stderr
    refreshed = lineup("refresh", "--project", str(project), "--wait", "--timeout", "120")
    assert refreshed.returncode == 0, refreshed.stdout + refreshed.stderr
    said = lineup("doctor", "--project", str(project), "--json")
    checks = {entry["check"]: entry for entry in json.loads(said.stdout)["checks"]}
    assert said.returncode == 0, checks
    assert {name for name, entry in checks.items() if entry["status"] != "ok"} <= {
        "settings",
        "local files",
        "ray",
        "shared folder",
        "gpu",
    }
    assert "as in .env.example" in checks["settings"]["line"]
    assert checks["worker"]["line"].startswith("1 on REDIS_URL")
    assert "predicted by choices-" in checks["task"]["line"]
