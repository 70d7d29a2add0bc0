import base64
import json
import threading

import pytest

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.credentials import REFRESH_PATH, RENEW_BEFORE, Credentials
from backend.labelstudio.errors import LabelStudioAuthError, LabelStudioUnreachable
from tests.backend.labelstudio.web import TOKEN, Reply


def jwt(**claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}.sig"


PAT = jwt(token_type="refresh", exp=9_999_999_999, iat=0, user_id="1")


class Exchange:
    """A Label Studio that hands out numbered access tokens valid for ``lifetime`` seconds."""

    def __init__(self, site, lifetime=300):
        self.given = []
        self.lifetime = lifetime
        self.site = site(self.answer)

    def answer(self, seen):
        if seen.path == REFRESH_PATH:
            assert seen.json == {"refresh": PAT}
            self.given.append(jwt(iat=1000, exp=1000 + self.lifetime, number=len(self.given)))
            return Reply.of({"access": self.given[-1]})
        return Reply.of({"release": "1.23.2"})


def test_legacy_token_is_sent_as_it_is():
    assert Credentials("http://ls", f" {TOKEN}\n").header() == {"Authorization": f"Token {TOKEN}"}


def test_pat_is_exchanged_once_while_it_is_valid(site):
    exchange = Exchange(site)
    now = [5000.0]
    credentials = Credentials(exchange.site.url, PAT, clock=lambda: now[0])
    assert credentials.header() == {"Authorization": f"Bearer {exchange.given[0]}"}
    now[0] += 300 - RENEW_BEFORE - 1
    credentials.header()
    assert len(exchange.given) == 1


def test_pat_is_renewed_before_the_access_token_expires(site):
    exchange = Exchange(site)
    now = [5000.0]
    credentials = Credentials(exchange.site.url, PAT, clock=lambda: now[0])
    first = credentials.header()
    now[0] += 300 - RENEW_BEFORE
    assert credentials.header() != first
    assert len(exchange.given) == 2


def test_lifetime_is_the_servers_own_whatever_its_clock_says(site):
    exchange = Exchange(site, lifetime=100)
    now = [10.0]
    credentials = Credentials(exchange.site.url, PAT, clock=lambda: now[0])
    credentials.header()
    now[0] += 100 - RENEW_BEFORE
    credentials.header()
    assert len(exchange.given) == 2


def test_several_threads_exchange_once(site):
    exchange = Exchange(site)
    credentials = Credentials(exchange.site.url, PAT)
    threads = [threading.Thread(target=credentials.header) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(exchange.given) == 1


def test_401_exchanges_anew_and_repeats_the_call(site):
    exchange = Exchange(site)
    original = exchange.answer

    def answer(seen):
        if seen.headers.get("Authorization") == f"Bearer {exchange.given[0] if exchange.given else ''}":
            return Reply.of({"detail": "Token is expired"}, 401)
        return original(seen)

    exchange.site.answer = answer
    assert LabelStudioClient(exchange.site.url, PAT).server_version() == "1.23.2"
    assert len(exchange.given) == 2


@pytest.mark.parametrize(("status", "detail", "words"), [
    (401, "Token is blacklisted", "was revoked"),
    (401, "Token is invalid", "not a valid personal access token"),
])  # fmt: skip
def test_refused_pat_says_what_to_do(site, status, detail, words):
    server = site(lambda seen: Reply.of({"detail": detail}, status))
    with pytest.raises(LabelStudioAuthError, match=words) as caught:
        Credentials(server.url, PAT).header()
    assert "LABEL_STUDIO_API_KEY" in str(caught.value)
    assert PAT not in str(caught.value)


def test_refused_legacy_token_names_the_setting_and_hides_the_token(site):
    server = site(lambda seen: Reply.of({"detail": "Invalid token."}, 401))
    with pytest.raises(LabelStudioAuthError, match="LABEL_STUDIO_API_KEY is not a token of") as caught:
        LabelStudioClient(server.url, TOKEN).server_version()
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(Credentials(server.url, TOKEN))


def test_switched_off_legacy_tokens_are_named(site):
    detail = "Authentication token no longer valid: legacy token authentication has been disabled for this organization"
    server = site(lambda seen: Reply.of({"detail": detail}, 401))
    with pytest.raises(LabelStudioAuthError, match="personal access token"):
        LabelStudioClient(server.url, TOKEN).server_version()


def test_web_page_instead_of_a_token_blames_the_address(site):
    server = site(lambda seen: Reply(200, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(LabelStudioUnreachable, match="LABEL_STUDIO_URL"):
        Credentials(server.url, PAT).header()


def test_missing_settings_are_named():
    with pytest.raises(LabelStudioUnreachable, match="LABEL_STUDIO_URL"):
        Credentials("", TOKEN)
    with pytest.raises(LabelStudioAuthError, match="LABEL_STUDIO_API_KEY"):
        Credentials("http://ls", " ")


class TestReal:
    def test_legacy_token(self, live):
        assert live.server_version().startswith("1.")

    def test_wrong_legacy_token(self, label_studio):
        client = LabelStudioClient(label_studio.url, "f" * 40)
        with pytest.raises(LabelStudioAuthError, match="LABEL_STUDIO_API_KEY"):
            client.get("/api/projects/")

    def test_personal_access_token_and_its_revocation(self, label_studio, live):
        settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        live.post("/api/jwt/settings", settings)
        pat = live.post("/api/token/")["token"]
        try:
            client = LabelStudioClient(label_studio.url, pat)
            assert "results" in client.get("/api/projects/")
            renewed = client.credentials.header()
            client.credentials.invalidate()
            assert "results" in client.get("/api/projects/")
            assert client.credentials.header()["Authorization"].startswith("Bearer ")
            assert renewed["Authorization"] != f"Bearer {pat}"
        finally:
            live.post("/api/token/blacklist/", {"refresh": pat})
        with pytest.raises(LabelStudioAuthError, match="revoked"):
            LabelStudioClient(label_studio.url, pat).get("/api/projects/")

    def test_legacy_tokens_switched_off(self, label_studio, live):
        live.post("/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
        pat = live.post("/api/token/")["token"]
        modern = LabelStudioClient(label_studio.url, pat)
        modern.post("/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False})
        try:
            with pytest.raises(LabelStudioAuthError, match="legacy token"):
                live.get("/api/projects/")
        finally:
            modern.post("/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
            live.post("/api/token/blacklist/", {"refresh": pat})
