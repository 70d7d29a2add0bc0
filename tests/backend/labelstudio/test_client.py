import socket

import pytest

from backend.labelstudio.client import ATTEMPTS, LabelStudioClient
from backend.labelstudio.errors import LabelStudioError, LabelStudioUnreachable
from tests.backend.labelstudio.web import TOKEN, Reply


def failing(times, then, status=503, headers=None):
    left = [times]

    def answer(seen):
        if left[0] > 0:
            left[0] -= 1
            return Reply(status, b"busy", headers or {})
        return then

    return answer


def test_reads_json_and_sends_the_token(site):
    server = site(lambda seen: Reply.of({"path": seen.path}))
    with LabelStudioClient(server.url + "/", TOKEN) as client:
        assert client.get("/api/x/", {"a": 1}) == {"path": "/api/x/?a=1"}
    assert server.tokens == [f"Token {TOKEN}"]


def test_empty_answer_is_none(site):
    server = site(lambda seen: Reply(204))
    assert LabelStudioClient(server.url, TOKEN).delete("/api/x/") is None


def test_cookies_are_not_kept(site):
    server = site(
        lambda seen: Reply(200, b"{}", {"Set-Cookie": "sessionid=1", "Content-Type": "application/json"})
    )
    client = LabelStudioClient(server.url, TOKEN)
    client.get("/")
    client.get("/")
    assert all("Cookie" not in seen.headers for seen in server.seen)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_server_is_asked_again(site, no_waiting, status):
    server = site(failing(2, Reply.of([1]), status))
    assert LabelStudioClient(server.url, TOKEN).get("/api/x/") == [1]
    assert len(no_waiting) == 2


def test_gives_up_in_the_end(site, no_waiting):
    server = site(failing(99, Reply.of([1])))
    with pytest.raises(LabelStudioError) as caught:
        LabelStudioClient(server.url, TOKEN).get("/api/x/")
    assert caught.value.status == 503
    assert len(server.seen) == ATTEMPTS


def test_retry_after_is_heeded(site, no_waiting):
    server = site(failing(1, Reply.of([1]), 429, {"Retry-After": "7"}))
    LabelStudioClient(server.url, TOKEN).post("/api/x/", {})
    assert no_waiting == [7.0]


def test_post_is_not_repeated_unless_told_so(site, no_waiting):
    server = site(failing(1, Reply.of([1])))
    client = LabelStudioClient(server.url, TOKEN)
    with pytest.raises(LabelStudioError):
        client.post("/api/x/", {})
    assert len(server.seen) == 1
    server.answer = failing(1, Reply.of([1]))
    assert client.post("/api/x/", {}, retry=True) == [1]


def test_nobody_listening_names_the_setting(no_waiting):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(LabelStudioUnreachable, match=r"LABEL_STUDIO_URL right \(http://127.0.0.1") as caught:
        LabelStudioClient(f"http://127.0.0.1:{port}", TOKEN).post("/api/x/", {})
    assert caught.value.status is None
    assert len(no_waiting) == ATTEMPTS - 1


def test_redirect_is_not_followed_with_the_token(site):
    other = site(lambda seen: Reply.of({}))
    server = site(lambda seen: Reply(302, b"", {"Location": f"{other.url}/api/"}))
    with pytest.raises(LabelStudioUnreachable, match="LABEL_STUDIO_URL"):
        LabelStudioClient(server.url, TOKEN).get("/api/x/")
    assert other.seen == []


def test_web_page_blames_the_address(site):
    server = site(lambda seen: Reply(404, b"<html>", {"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(LabelStudioUnreachable, match="a web page came back"):
        LabelStudioClient(server.url, TOKEN).get("/api/x/")


def test_forbidden_blames_the_user(site):
    server = site(lambda seen: Reply.of({"detail": "You do not have permission"}, 403))
    with pytest.raises(LabelStudioError, match="member of the project"):
        LabelStudioClient(server.url, TOKEN).get("/api/x/")


def test_validation_errors_are_shown(site):
    body = {"detail": "Validation error", "validation_errors": {"title": ["too long"]}}
    server = site(lambda seen: Reply.of(body, 400))
    with pytest.raises(LabelStudioError, match="too long"):
        LabelStudioClient(server.url, TOKEN).post("/api/x/", {})


class TestReal:
    def test_wrong_path_in_the_address(self, label_studio):
        with pytest.raises(LabelStudioUnreachable, match="LABEL_STUDIO_URL"):
            LabelStudioClient(label_studio.url + "/nope", label_studio.token).get("/api/projects/1/")

    def test_missing_project(self, live):
        with pytest.raises(LabelStudioError, match="No Project matches") as caught:
            live.get("/api/projects/999999/")
        assert caught.value.status == 404
