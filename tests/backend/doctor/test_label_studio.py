"""Label Studio itself: not there, not Label Studio, too old, and tokens it does not take."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.doctor.label_studio import TESTED
from backend.labelstudio.client import LabelStudioClient
from backend.settings import Settings
from demo.label_studio import LabelStudioServer, free_port
from tests.backend.doctor.clinic import Doctor
from tests.backend.labelstudio.web import Reply, Site


def test_nothing_is_there(doctor: Doctor, settings: Settings) -> None:
    said = doctor(settings, LABEL_STUDIO_URL=f"http://127.0.0.1:{free_port()}")
    assert "nothing answers at LABEL_STUDIO_URL=" in said["label studio"]["line"]
    assert said["token"]["line"] == "needs label studio"
    assert said["callback"]["line"] == "needs token"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>welcome</html>", {"Content-Type": "text/html"}),
        Reply(302, b"", {"Location": "https://elsewhere.example/"}),
        Reply.of({"detail": "Not Found"}, 404),
        Reply.of({"version": 3}),
        Reply.of([1, 2]),
        Reply(200, b"not json", {"Content-Type": "application/json"}),
    ],
)
def test_something_else_is_there(
    doctor: Doctor, settings: Settings, site: Callable[..., Site], reply: Reply
) -> None:
    said = doctor(settings, LABEL_STUDIO_URL=site(lambda seen: reply).url)
    assert "is not Label Studio" in said["label studio"]["line"]
    assert said["token"]["status"] == "skipped"


def test_a_proxy_whose_label_studio_is_down(
    doctor: Doctor, settings: Settings, site: Callable[..., Site]
) -> None:
    said = doctor(settings, LABEL_STUDIO_URL=site(lambda seen: Reply(502, b"bad gateway")).url)
    assert "is not available (status 502)" in said["label studio"]["line"]


def test_an_old_one(doctor: Doctor, settings: Settings, site: Callable[..., Site]) -> None:
    found = doctor(settings, LABEL_STUDIO_URL=site(lambda seen: Reply.of({"release": "1.9.2"})).url)[
        "label studio"
    ]
    assert found["status"] == "warning"
    assert "older than" in found["line"]


def test_the_version_it_is_tested_with(repository: Path) -> None:
    pins = (repository / "requirements-label-studio.txt").read_text(encoding="utf-8")
    assert f"label-studio=={TESTED}\n" in pins


def test_a_stopped_label_studio(
    doctor: Doctor, settings: Settings, tmp_path: Path, label_studio: LabelStudioServer
) -> None:
    server = LabelStudioServer(tmp_path / "stopped")
    with server:
        assert (
            doctor(settings, LABEL_STUDIO_URL=server.url, LABEL_STUDIO_API_KEY=server.token)["token"][
                "status"
            ]
            == "ok"
        )
    said = doctor(settings, LABEL_STUDIO_URL=server.url, LABEL_STUDIO_API_KEY=server.token)
    assert "label studio" in said.failed()


def jwt(**claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}.sig"


class TestTokens:
    @pytest.mark.parametrize("key", ["f" * 40, jwt(token_type="refresh", exp=9_999_999_999)])
    def test_a_wrong_one(self, doctor: Doctor, clinic: Settings, key: str) -> None:
        said = doctor(clinic, LABEL_STUDIO_API_KEY=key)
        assert said["label studio"]["status"] == "ok"
        assert "token" in said.failed()
        assert "LABEL_STUDIO_API_KEY is not a" in said["token"]["fix"]
        assert key not in str(said.found)

    def test_personal_and_legacy_ones(
        self, doctor: Doctor, clinic: Settings, label_studio: LabelStudioServer
    ) -> None:
        admin = LabelStudioClient(label_studio.url, label_studio.token)
        both = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        admin.post("/api/jwt/settings", both)
        pat = admin.post("/api/token/")["token"]
        modern = LabelStudioClient(label_studio.url, pat)
        try:
            said = doctor(clinic, LABEL_STUDIO_API_KEY=pat)
            assert said["token"]["line"] == "personal access token of admin@example.com"
            assert said["legacy tokens"]["line"] == "allowed, not used"
            modern.post("/api/jwt/settings", {**both, "legacy_api_tokens_enabled": False})
            assert (
                doctor(clinic, LABEL_STUDIO_API_KEY=pat)["legacy tokens"]["line"]
                == "switched off, not needed"
            )
            off = doctor(clinic)
            assert "legacy token" in off["token"]["line"]
            assert "switched off" in off["token"]["fix"]
        finally:
            modern.post("/api/jwt/settings", both)
            admin.post("/api/token/blacklist/", {"refresh": pat})
        revoked = doctor(clinic, LABEL_STUDIO_API_KEY=pat)
        assert "was revoked" in revoked["token"]["fix"]

    def test_one_that_ends_soon(self, doctor: Doctor, settings: Settings, site: Callable[..., Site]) -> None:
        answers = {
            "/api/version": {"release": TESTED},
            "/api/token/refresh/": {"access": jwt(iat=0, exp=300)},
            "/api/current-user/whoami": {"id": 1, "email": "ann@example.com"},
        }
        server = site(
            lambda seen: Reply.of(answers[seen.path]) if seen.path in answers else Reply.of({}, 404)
        )
        key = jwt(exp=time.time() + 3 * 86400)
        found = doctor(settings, LABEL_STUDIO_URL=server.url, LABEL_STUDIO_API_KEY=key)["token"]
        assert found["status"] == "warning"
        assert "ann@example.com ends in 3 days" in found["line"]

    def test_a_project_it_does_not_see(self, doctor: Doctor, clinic: Settings) -> None:
        said = doctor(clinic, 999_999)
        assert "project" in said.failed()
        assert "404" in said["project"]["line"]
        assert said["webhook"]["line"] == "needs project"
