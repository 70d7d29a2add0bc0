import base64

import pytest

from backend.labelstudio.backends import backend_urls, connect_backend
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.webhooks import ensure_webhook
from tests.backend.labelstudio.projects import make_project
from tests.backend.labelstudio.web import Reply

EXPECTED = "Basic " + base64.b64encode(b"u:p").decode()


def lineup(seen):
    if seen.path != "/health" and seen.headers.get("Authorization", EXPECTED) != EXPECTED:
        return Reply.of({"detail": "unauthorized"}, 401)
    return Reply.of({"status": "UP", "model_version": "v1", "model_class": "Lineup"})


class TestReal:
    def test_connects_once(self, label_studio, live, site):
        project, _ = make_project(label_studio, "backend", 1)
        server = site(lineup)
        first = connect_backend(live, project, server.url + "/", title="Lineup")
        assert connect_backend(live, project, server.url, title="Lineup") == first
        assert backend_urls(live, project) == [server.url]
        assert {seen.path for seen in server.seen} == {"/health", "/setup"}

    def test_basic_auth_reaches_the_backend_and_the_webhook_is_single(self, label_studio, live, site):
        project, _ = make_project(label_studio, "backend auth", 1)
        server = site(lineup)
        first = connect_backend(live, project, server.url)
        assert connect_backend(live, project, server.url, user="u", password="p") == first
        assert EXPECTED in server.tokens
        ensure_webhook(live, project, server.url, {"X-Lineup-Secret": "s"})
        (hook,) = label_studio.api("GET", "/api/webhooks/", params={"project": project})
        assert hook["headers"] == {"X-Lineup-Secret": "s"}

    def test_wrong_password_is_named(self, label_studio, live, site):
        project, _ = make_project(label_studio, "backend wrong", 1)
        server = site(lineup)
        with pytest.raises(LabelStudioError, match="BASIC_AUTH"):
            connect_backend(live, project, server.url, user="u", password="wrong")

    def test_absent_backend_is_named(self, label_studio, live):
        project, _ = make_project(label_studio, "backend absent", 1)
        with pytest.raises(LabelStudioError, match="LINEUP_URL"):
            connect_backend(live, project, "http://127.0.0.1:9")
