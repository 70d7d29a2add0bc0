import base64
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioAuthError, LabelStudioUnreachable
from backend.labelstudio.fetch import MAX_HOPS, ImageFetcher, ImageFetchError
from tests.backend.labelstudio.web import TOKEN, Reply

IMAGE = b"\x89PNG pretend"
PRIVATE = {"metadata.example": ["169.254.169.254"], "rebound.example": ["127.0.0.1"]}


def loopback(host, port):
    """Every made-up name is on loopback, except those that stand for something worse."""
    return PRIVATE.get(host, ["127.0.0.1"])


def image(seen):
    return Reply(200, IMAGE, {"Content-Type": "image/png"})


@pytest.fixture
def own(site):
    """What stands for Label Studio."""
    return site(image)


@pytest.fixture
def fetcher(own):
    return ImageFetcher(
        LabelStudioClient(own.url, TOKEN),
        allow_hosts=["images.example", "cloud.example"],
        resolver=loopback,
        timeout=5,
    )


def fetch(fetcher, uri):
    return fetcher.fetch(uri, 7, 3)


@pytest.mark.parametrize("path", ["/data/upload/3/abc-x.png", "/data/local-files/?d=imgs/a%20b.png"])
def test_label_studios_own_files_get_the_token(fetcher, own, path):
    assert fetch(fetcher, path) == IMAGE
    assert own.seen[0].path == path
    assert own.tokens == [f"Token {TOKEN}"]


def test_full_url_of_label_studio_gets_the_token(fetcher, own):
    assert fetch(fetcher, f"{own.url}/data/upload/3/x.png") == IMAGE
    assert own.tokens == [f"Token {TOKEN}"]


def test_api_calls_are_not_images(fetcher, own):
    with pytest.raises(ImageFetchError, match="API"):
        fetch(fetcher, f"{own.url}/api/projects/1/export")
    assert own.seen == []


def test_other_hosts_never_get_the_token(fetcher, site):
    other = site(image)
    assert fetch(fetcher, f"http://images.example:{other.port}/x.png?sig=1") == IMAGE
    assert other.tokens == []
    assert other.seen[0].headers["Host"] == f"images.example:{other.port}"
    assert other.seen[0].path == "/x.png?sig=1"


def test_another_port_of_label_studios_host_is_another_host(own, site):
    other = site(image)
    fetcher = ImageFetcher(LabelStudioClient(own.url, TOKEN), allow_hosts=["127.0.0.1"])
    assert fetch(fetcher, f"{other.url}/data/upload/3/x.png") == IMAGE
    assert other.tokens == []


@pytest.mark.parametrize("uri", ["s3://bucket/a b/x.png", "gs://bucket/x.png", "azure-blob://box/x.png"])
def test_cloud_uris_are_presigned_and_the_token_stays(fetcher, own, site, uri):
    cloud = site(image)
    own.answer = lambda seen: Reply(
        303, b"", {"Location": f"http://cloud.example:{cloud.port}/x?Signature=s"}
    )
    assert fetch(fetcher, uri) == IMAGE
    asked = urlsplit(own.seen[0].path)
    assert asked.path == "/tasks/7/presign/"
    assert base64.b64decode(parse_qs(asked.query)["fileuri"][0]).decode() == uri
    assert own.tokens == [f"Token {TOKEN}"]
    assert cloud.tokens == []


def test_presigned_url_on_a_private_address_is_refused(fetcher, own):
    own.answer = lambda seen: Reply(303, b"", {"Location": "http://metadata.example/latest/"})
    with pytest.raises(ImageFetchError, match=r"169\.254\.169\.254.*ALLOW_HOSTS"):
        fetch(fetcher, "s3://bucket/x.png")


@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0.0.0.0", "[::1]",
    "[::ffff:127.0.0.1]", "rebound.example", "metadata.example", "169.254.169.254", "RebounD.example",
])  # fmt: skip
def test_private_hosts_are_refused_unasked(own, site, host):
    inside = site(image)
    real = ImageFetcher(LabelStudioClient(own.url, TOKEN))
    faked = ImageFetcher(LabelStudioClient(own.url, TOKEN), resolver=loopback)
    for fetcher in [faked] if "example" in host.lower() else [real]:
        with pytest.raises(ImageFetchError, match="task 7"):
            fetch(fetcher, f"http://{host}:{inside.port}/x.png")
    assert inside.seen == []


def test_ipv6_loopback_server_is_refused_and_can_be_allowed(own, site):
    try:
        inside = site(image, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    client = LabelStudioClient(own.url, TOKEN)
    with pytest.raises(ImageFetchError, match="not a public address"):
        fetch(ImageFetcher(client), f"{inside.url}/x.png")
    assert inside.seen == []
    assert fetch(ImageFetcher(client, allow_hosts=["::1"]), f"{inside.url}/x.png") == IMAGE


@pytest.mark.parametrize("target", [
    "http://127.0.0.1:{port}/x", "http://localhost:{port}/x", "http://2130706433:{port}/x",
    "http://169.254.169.254/latest/meta-data/", "http://metadata.example/", "http://[::1]:{port}/x",
    "//127.0.0.1:{port}/x",
])  # fmt: skip
def test_redirects_into_the_private_net_are_refused(own, site, target):
    inside = site(image)
    outside = site(lambda seen: Reply(302, b"", {"Location": target.format(port=inside.port)}))

    def resolver(host, port):
        return PRIVATE.get(host) or (["127.0.0.1"] if host == "images.example" else [host.strip("[]")])

    fetcher = ImageFetcher(
        LabelStudioClient(own.url, TOKEN), allow_hosts=["images.example"], resolver=resolver
    )
    with pytest.raises(ImageFetchError):
        fetch(fetcher, f"http://images.example:{outside.port}/x.png")
    assert len(outside.seen) == 1
    assert inside.seen == []
    assert own.seen == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://images.example/x", "gopher://images.example/"]
)
def test_redirects_to_other_schemes_are_refused(fetcher, site, target):
    outside = site(lambda seen: Reply(302, b"", {"Location": target}))
    with pytest.raises(ImageFetchError, match="only http"):
        fetch(fetcher, f"http://images.example:{outside.port}/x.png")


def test_relative_redirects_are_followed(fetcher, site):
    other = site(
        lambda seen: image(seen) if seen.path == "/b/y.png" else Reply(301, b"", {"Location": "y.png"})
    )
    assert fetch(fetcher, f"http://images.example:{other.port}/b/x.png") == IMAGE


def test_redirect_loops_end(fetcher, site):
    other = site(lambda seen: Reply(302, b"", {"Location": "/again"}))
    with pytest.raises(ImageFetchError, match="redirects"):
        fetch(fetcher, f"http://images.example:{other.port}/x.png")
    assert len(other.seen) == MAX_HOPS


def test_user_information_in_a_url_is_refused(fetcher, own, site):
    other = site(image)
    for uri in (
        f"http://images.example@127.0.0.1:{other.port}/x",
        f"http://127.0.0.1:{own.port}@images.example:{other.port}/",
    ):
        with pytest.raises(ImageFetchError, match="user name or password"):
            fetch(fetcher, uri)
    assert other.seen == []
    assert own.seen == []


class Recording(httpx.BaseTransport):
    """Notes where requests go instead of sending them."""

    def __init__(self):
        self.requests = []

    def handle_request(self, request):
        self.requests.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(IMAGE))


def test_connects_to_the_address_that_was_checked(own):
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    fetcher = ImageFetcher(LabelStudioClient(own.url, TOKEN), resolver=lambda host, port: next(answers))
    fetcher._transport = Recording()
    assert fetch(fetcher, "https://cdn.example/x.png") == IMAGE
    (request,) = fetcher._transport.requests
    assert request.url.host == "93.184.216.34"
    assert request.headers["Host"] == "cdn.example"
    assert request.extensions["sni_hostname"] == "cdn.example"
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    "uri", ["ftp://images.example/x.png", "file:///etc/passwd", "x.png", "//images.example/x.png", ""]
)
def test_other_uris_are_refused(fetcher, own, uri):
    with pytest.raises(ImageFetchError, match="task 7"):
        fetch(fetcher, uri)
    assert own.seen == []


def test_declared_size_is_checked_before_reading(own):
    own.answer = lambda seen: Reply(200, b"x" * 2000)
    fetcher = ImageFetcher(LabelStudioClient(own.url, TOKEN), max_bytes=1000)
    with pytest.raises(ImageFetchError, match="2000 bytes; MAX_IMAGE_BYTES is 1000"):
        fetch(fetcher, "/data/upload/x.png")


def test_undeclared_size_is_checked_while_reading(own):
    own.answer = lambda seen: Reply(200, b"x" * 1000, chunks=10_000)
    fetcher = ImageFetcher(LabelStudioClient(own.url, TOKEN), max_bytes=5000)
    with pytest.raises(ImageFetchError, match="more than 5000 bytes"):
        fetch(fetcher, "/data/upload/x.png")


def test_compressed_answers_are_refused(own):
    own.answer = lambda seen: Reply(200, b"x", {"Content-Encoding": "gzip"})
    with pytest.raises(ImageFetchError, match="compressed"):
        fetch(ImageFetcher(LabelStudioClient(own.url, TOKEN)), "/data/upload/x.png")


def test_slow_images_end(own):
    own.answer = lambda seen: Reply(200, b"x" * 100, chunks=10)
    with pytest.raises(ImageFetchError, match="longer than"):
        fetch(ImageFetcher(LabelStudioClient(own.url, TOKEN), deadline=0.0), "/data/upload/x.png")


def test_truncated_image_costs_its_task(own):
    own.answer = lambda seen: Reply(200, b"x", {"Content-Length": "100"})
    with pytest.raises(ImageFetchError, match="connection broke"):
        fetch(ImageFetcher(LabelStudioClient(own.url, TOKEN)), "/data/upload/x.png")


@pytest.mark.parametrize("status", [403, 404, 410, 500])
def test_missing_file_costs_its_task(fetcher, own, status):
    own.answer = lambda seen: Reply(status)
    with pytest.raises(ImageFetchError, match=f"answered {status}"):
        fetch(fetcher, "/data/upload/x.png")


def test_refused_token_blames_no_image(fetcher, own):
    own.answer = lambda seen: Reply.of({"detail": "Invalid token."}, 401)
    with pytest.raises(LabelStudioAuthError, match="LABEL_STUDIO_API_KEY"):
        fetch(fetcher, "/data/upload/x.png")


def test_label_studio_away_blames_no_image(fetcher, own, no_waiting):
    own.answer = lambda seen: Reply(503)
    with pytest.raises(LabelStudioUnreachable):
        fetch(fetcher, "/data/upload/x.png")
    own.close()
    with pytest.raises(LabelStudioUnreachable, match="LABEL_STUDIO_URL"):
        fetch(fetcher, "/data/upload/x.png")


def test_other_host_away_costs_its_task(fetcher):
    with pytest.raises(ImageFetchError, match="cannot be reached"):
        fetch(fetcher, "http://images.example:9/x.png")


@pytest.mark.parametrize("uri", [
    "data:image/png;base64," + base64.b64encode(IMAGE).decode(),
    "DATA:image/png;BASE64," + base64.b64encode(IMAGE).decode(),
    "data:,%89PNG%20pretend",
])  # fmt: skip
def test_data_uris(fetcher, uri):
    assert fetch(fetcher, uri) == IMAGE


@pytest.mark.parametrize(("uri", "why"), [
    ("data:image/png;base64", "no comma"),
    ("data:image/png;base64,???", "base64"),
    ("data:,xxxx%78%78", "more than 5 bytes"),
    ("data:," + "x" * 100, "more than 5 bytes"),
])  # fmt: skip
def test_bad_data_uris(own, uri, why):
    with pytest.raises(ImageFetchError, match=why):
        fetch(ImageFetcher(LabelStudioClient(own.url, TOKEN), max_bytes=5), uri)


def test_errors_are_short_and_hide_signatures(fetcher):
    with pytest.raises(ImageFetchError) as caught:
        fetch(fetcher, "http://images.example:9/" + "x" * 500 + "?Signature=secret")
    assert len(str(caught.value)) < 900
    assert "secret" not in str(caught.value)


def test_errors_hide_passwords_and_do_not_repeat_images(fetcher):
    with pytest.raises(ImageFetchError) as caught:
        fetch(fetcher, "http://someone:hunter2@images.example/x.png")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ImageFetchError) as caught:
        fetch(fetcher, "data:image/png;base64,SECRETPICTURE?")
    assert "data:image/png;base64,..." in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("host", [
    "127。0。0。1", "１２７.0.0.1", "①27.0.0.1", "017700000001", "0x7f.0.0.1", "127.0.0.1.", "localhost.", "LOCALHOST",
    "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]",
    "127.0.0.1%00.images.example", "[::1]%00", "0", "127.0.0.1:80@images.example",
])  # fmt: skip
def test_no_other_spelling_of_loopback_is_asked(own, site, host):
    inside = site(image)
    fetcher = ImageFetcher(LabelStudioClient(own.url, TOKEN), timeout=2)
    with pytest.raises(ImageFetchError, match="task 7"):
        fetch(fetcher, f"http://{host}:{inside.port}/x.png")
    assert inside.seen == []
    assert own.seen == []


@pytest.mark.parametrize("address", [
    "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::a00:1", "2002:a00:1::", "2001:0:a00:1:8000:63bf:f5ff:fffe",
    "fc00::1", "fe80::1", "::", "::1", "::127.0.0.1", "100.64.0.1", "0.0.0.0", "255.255.255.255", "192.0.0.8",
])  # fmt: skip
def test_a_name_that_resolves_to_a_private_address_is_refused_unasked(own, address):
    fetcher = ImageFetcher(LabelStudioClient(own.url, TOKEN), resolver=lambda *_: ["93.184.216.34", address])
    fetcher._transport = Recording()
    with pytest.raises(ImageFetchError, match="not a public address"):
        fetch(fetcher, "https://cdn.example/x.png")
    assert fetcher._transport.requests == []


@pytest.mark.parametrize("path", [
    "/data/upload/3/../../../api/current-user/token", "/data/..%2f..%2fapi/current-user/token",
    "/data/%2e%2e/api/current-user/token", "/api/projects/", "/data//api/users", "/data/../api/users?d=x",
])  # fmt: skip
def test_no_way_of_writing_it_leads_to_the_api(fetcher, own, site, path):
    for uri in (path, own.url + path):
        with pytest.raises(ImageFetchError, match="API"):
            fetch(fetcher, uri)
    outside = site(lambda seen: Reply(302, b"", {"Location": own.url + path}))
    with pytest.raises(ImageFetchError, match="API"):
        fetch(fetcher, f"http://images.example:{outside.port}/x.png")
    assert own.seen == []


def test_the_token_does_not_follow_a_redirect_of_label_studio_itself(fetcher, own, site):
    other = site(image)
    for location in (
        f"http://images.example:{other.port}/x.png",
        f"//images.example:{other.port}/x.png",
        f"http://images.example:{other.port}/data/upload/3/x.png",
    ):
        own.answer = lambda seen, location=location: Reply(307, b"", {"Location": location})
        assert fetch(fetcher, "/data/upload/3/x.png") == IMAGE
    assert len(own.tokens) == len(other.seen) == 3
    assert other.tokens == []
    assert not any("Cookie" in seen.headers for seen in other.seen)


class TestReal:
    def test_upload_and_missing_upload(self, label_studio, live):
        project = label_studio.create_project("fetch", '<View><Image name="i" value="$image"/></View>')
        url = f"{label_studio.url}/api/projects/{project}/import"
        answer = httpx.post(
            url,
            files={"f": ("a b.png", IMAGE, "image/png")},
            headers=live.credentials.header(),
            trust_env=False,
        )
        assert answer.status_code == 201
        task = live.get("/api/tasks/", {"project": project, "resolve_uri": "false"})["tasks"][0]
        uri = next(iter(task["data"].values()))
        fetcher = ImageFetcher(live)
        assert fetcher.fetch(uri, task["id"], project) == IMAGE
        with pytest.raises(ImageFetchError):
            fetcher.fetch(f"/data/upload/{project}/none.png", task["id"], project)

    def test_local_files(self, label_studio, live):
        folder = label_studio.files_dir / "shots"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a b.png").write_bytes(IMAGE)
        project = label_studio.create_project("fetch local", '<View><Image name="i" value="$image"/></View>')
        label_studio.serve_folder(project, folder)
        fetcher = ImageFetcher(live)
        assert fetcher.fetch("/data/local-files/?d=shots/a%20b.png", 1, project) == IMAGE
        with pytest.raises(ImageFetchError, match="404"):
            fetcher.fetch("/data/local-files/?d=shots/none.png", 1, project)

    @pytest.mark.parametrize("path", [
        "../secret.png", "shots/../../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "..%252fsecret.png",
        "/etc/passwd", "file:///etc/passwd", "....//secret.png", "shots/..\\..\\secret.png",
    ])  # fmt: skip
    def test_local_files_end_at_their_folder(self, label_studio, live, path):
        folder = label_studio.files_dir / "shots"
        folder.mkdir(parents=True, exist_ok=True)
        (label_studio.files_dir.parent / "secret.png").write_bytes(b"secret")
        project = label_studio.create_project(
            "fetch outside", '<View><Image name="i" value="$image"/></View>'
        )
        label_studio.serve_folder(project, folder)
        with pytest.raises(ImageFetchError, match=r"answered [45]\d\d"):
            ImageFetcher(live).fetch(f"/data/local-files/?d={path}", 1, project)

    def test_cloud_uri_without_a_storage(self, label_studio, live):
        project = label_studio.create_project("fetch s3", '<View><Image name="i" value="$image"/></View>')
        (task,) = label_studio.import_tasks(project, [{"data": {"image": "s3://bucket/x.png"}}])
        with pytest.raises(ImageFetchError, match="404"):
            ImageFetcher(live).fetch("s3://bucket/x.png", task, project)
