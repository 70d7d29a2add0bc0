"""Run a real Label Studio of one's own: quiet, on loopback, with its own data folder, ended by process id."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 240.0
STOP_TIMEOUT = 15.0
# the development server queues ten connections and resets more: one's own calls leave room for Lineup's
CONNECTIONS = 6

# quiet and offline; a backend and a webhook on loopback are allowed, which Label Studio refuses by default
QUIET = {
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "FEATURE_FLAGS_OFFLINE": "True",
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "LOCAL_FILES_SERVING_ENABLED": "true",
    "LOG_LEVEL": "WARNING",
    "PYTHONUNBUFFERED": "1",
}


class LabelStudioFailed(RuntimeError):
    """Label Studio is not installed, did not start, or answered with an error (``status``)."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Account:
    """A user of Label Studio who can sign in and call its API."""

    id: int
    email: str
    password: str
    token: str


def executable() -> Path:
    """Return the `label-studio` command of the virtual environment `LS_VENV` (default `.venv-label-studio`).

    Raises
    ------
    LabelStudioFailed
        If it is not there.
    """
    venv = Path(os.environ.get("LS_VENV") or ROOT / ".venv-label-studio")
    path = (venv if venv.is_absolute() else ROOT / venv) / "bin" / "label-studio"
    if not path.exists():
        raise LabelStudioFailed(
            f"{path} is missing; run `make setup`, or set LS_VENV to Label Studio's environment"
        )
    return path


def free_port(preferred: int = 0, *, tries: int = 50) -> int:
    """Return ``preferred`` if nothing listens there, else the next free port on loopback; 0 means any."""
    for port in [0] if preferred == 0 else range(preferred, preferred + tries):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise LabelStudioFailed(f"no free port from {preferred} to {preferred + tries - 1}")


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends; called in the child, a no-op outside Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def stop_process(process: subprocess.Popen[bytes], timeout: float = STOP_TIMEOUT) -> None:
    """End a child that leads its own process group, and whatever it started: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            continue


class LabelStudioServer:
    """One Label Studio server.

    Parameters
    ----------
    data_dir : Path
        Its data folder (SQLite database, uploads, log); created where missing, kept at the end.
    port : int
        Port on loopback; 0 means any free one.
    token : str
        Legacy token of the first user (40 hexadecimal digits); made up where empty; only for a new folder
    environment : mapping
        Further environment of the server, for example `DJANGO_DB=default` and `POSTGRE_*` for PostgreSQL.

    Attributes
    ----------
    url : str
        Address without a slash at the end.
    admin : Account
        The first user; ``token`` and ``headers`` are this user's.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        email: str = "admin@example.com",
        password: str = "lineup-demo",
        token: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port
        self.admin = Account(0, email, password, token or secrets.token_hex(20))
        self.environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None
        self._people: dict[str, Account] = {}
        self._connections = threading.BoundedSemaphore(CONNECTIONS)

    @property
    def url(self) -> str:
        """Address as users and Lineup reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """Token of the first user."""
        return self.admin.token

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self.process is None:
            raise LabelStudioFailed("Label Studio is not running")
        return self.process.pid

    @property
    def log_path(self) -> Path:
        """Where the server's output goes."""
        return self.data_dir / "label_studio.log"

    @property
    def files_dir(self) -> Path:
        """Folder below which local-files storages may be."""
        return self.data_dir / "files"

    # life ------------------------------------------------------------------------------------------
    def start(self) -> LabelStudioServer:
        """Start the server and wait until it answers.

        Raises
        ------
        LabelStudioFailed
            If it ends or does not answer in four minutes; the message has the end of its log.
        """
        command = executable()
        if "DJANGO_DB" not in self.environment and not any(self.data_dir.glob("*.sqlite3")):
            copy_template(self.data_dir)
        self.files_dir.mkdir(parents=True, exist_ok=True)
        self.port = free_port(self.port)
        arguments = ["start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(self.port)]
        user = [
            "--username",
            self.admin.email,
            "--password",
            self.admin.password,
            "--user-token",
            self.admin.token,
        ]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(command), *arguments, *user, "--enable-legacy-api-token"],
                env=_environment(self.data_dir, self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        try:
            self._wait_healthy()
            me = self.api("GET", "/api/current-user/whoami")
        except BaseException:
            self.stop()
            raise
        self.admin = Account(me["id"], self.admin.email, self.admin.password, self.admin.token)
        return self

    def stop(self) -> None:
        """End the server; harmless when it is not running."""
        if self.process is not None:
            stop_process(self.process)
            self.process = None

    def __enter__(self) -> LabelStudioServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_healthy(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise LabelStudioFailed(f"Label Studio ended while starting:\n{self._log_end()}")
            try:
                if httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        raise LabelStudioFailed(
            f"Label Studio did not answer within {START_TIMEOUT:.0f} s:\n{self._log_end()}"
        )

    def _log_end(self) -> str:
        return "\n".join(self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    # its API ---------------------------------------------------------------------------------------
    def api(
        self,
        method: str,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        timeout: float = 120,
    ) -> Any:
        """Call the API as the first user, or with another's token; return the parsed JSON, None where empty.

        Raises
        ------
        LabelStudioFailed
            If the answer is an error, with its status.
        """
        with self._connections:
            response = httpx.request(
                method,
                self.url + path,
                json=json,
                params=params,
                headers={"Authorization": f"Token {token or self.admin.token}"},
                timeout=timeout,
                trust_env=False,
            )
        if response.status_code >= 400:
            said = f"{method} {path} answered {response.status_code}: {response.text[:500]}"
            raise LabelStudioFailed(said, response.status_code)
        return response.json() if response.content else None

    @contextmanager
    def personal_token(self) -> Iterator[str]:
        """Give a personal access token of the first user, who can have one at a time; it is revoked at the end."""
        allowed = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        self.api("POST", "/api/jwt/settings", allowed)
        token = str(self.api("POST", "/api/token/", {})["token"])
        try:
            yield token
        finally:
            self.api("POST", "/api/token/blacklist/", {"refresh": token})

    def create_project(self, title: str, label_config: str, **more: Any) -> int:
        """Create a project and return its id; ``more`` are further fields of the project."""
        return int(
            self.api("POST", "/api/projects", {"title": title, "label_config": label_config, **more})["id"]
        )

    def import_tasks(self, project_id: int, tasks: list[dict[str, Any]]) -> list[int]:
        """Import tasks, with annotations where they carry some, and return their ids in order."""
        answer = self.api(
            "POST",
            f"/api/projects/{project_id}/import",
            tasks,
            {"return_task_ids": "true", "commit_to_project": "true"},
        )
        return [int(task_id) for task_id in answer["task_ids"]]

    def serve_folder(self, project_id: int, folder: Path) -> None:
        """Let tasks of a project show the files of a folder below ``files_dir`` (a local-files storage)."""
        self.api(
            "POST",
            "/api/storages/localfiles",
            {
                "project": project_id,
                "title": folder.name,
                "path": str(folder.resolve()),
                "use_blob_urls": True,
            },
        )

    def file_uri(self, path: Path) -> str:
        """Return the task data value that shows a file below ``files_dir``."""
        return f"/data/local-files/?d={path.resolve().relative_to(self.files_dir)}"

    def user(self, email: str, password: str = "lineup-demo") -> Account:
        """Return a further user of the same organization, signed up at the first call."""
        if email not in self._people:
            self._people[email] = self._sign_up(email, password)
        return self._people[email]

    def _sign_up(self, email: str, password: str) -> Account:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as browser:
            self._post_form(browser, "/user/signup/", email, password)
            if browser.get("/api/current-user/whoami").status_code != 200:
                self._post_form(browser, "/user/login/", email, password)
            me = browser.get("/api/current-user/whoami")
            token = browser.get("/api/current-user/token")
            if me.status_code != 200 or token.status_code != 200:
                raise LabelStudioFailed(f"could not sign up {email}: {me.status_code} {me.text[:200]}")
            return Account(me.json()["id"], email, password, token.json()["token"])

    @staticmethod
    def _post_form(browser: httpx.Client, path: str, email: str, password: str) -> None:
        page = browser.get(path).text
        csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        if csrf is None:
            raise LabelStudioFailed(f"{path} shows no form to sign in")
        browser.post(path, data={"email": email, "password": password, "csrfmiddlewaretoken": csrf[1]})


def copy_template(data_dir: Path) -> None:
    """Fill a data folder with a migrated, empty database; it is made once (30 s) and kept in `.cache/`."""
    command = executable()
    stamp = next((command.parent.parent / "lib").glob("python*/site-packages/label_studio-*.dist-info")).name
    template = ROOT / ".cache" / stamp.removesuffix(".dist-info")
    template.parent.mkdir(parents=True, exist_ok=True)
    with (template.parent / "label_studio.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            building = template.with_name(template.name + ".building")
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            done = subprocess.run(
                [str(command), "version"],
                env=_environment(building, {}),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise LabelStudioFailed(f"Label Studio could not make its database:\n{done.stderr[-2000:]}")
            building.rename(template)
    shutil.copytree(template, data_dir, dirs_exist_ok=True)


def _environment(data_dir: Path, more: Mapping[str, str]) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LABEL_STUDIO_", "DJANGO_", "POSTGRE_", "PYTEST_"))
        and name not in ("HOST", "PORT")
    }
    folders = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        "LOCAL_FILES_DOCUMENT_ROOT": str(data_dir / "files"),
    }
    return {**inherited, **QUIET, **folders, **more}
