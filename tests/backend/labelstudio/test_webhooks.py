from backend.labelstudio.webhooks import ensure_webhook
from tests.backend.labelstudio.projects import make_project

URL = "http://127.0.0.1:9"


def hooks(label_studio, project):
    return label_studio.api("GET", "/api/webhooks/", params={"project": project})


class TestReal:
    def test_creates_one_and_leaves_it(self, label_studio, live):
        project, _ = make_project(label_studio, "webhook", 1)
        first = ensure_webhook(live, project, URL + "/", {"X-Lineup-Secret": "s"})
        before = hooks(label_studio, project)
        assert ensure_webhook(live, project, URL, {"X-Lineup-Secret": "s"}) == first
        assert hooks(label_studio, project) == before
        (hook,) = before
        assert (hook["url"], hook["headers"]) == (f"{URL}/webhook", {"X-Lineup-Secret": "s"})
        assert hook["send_payload"]
        assert hook["send_for_all_actions"]

    def test_gives_the_automatic_one_its_credentials_and_removes_doubles(self, label_studio, live):
        project, _ = make_project(label_studio, "webhook doubles", 1)
        automatic = {
            "project": project,
            "url": f"{URL}/webhook",
            "send_payload": True,
            "send_for_all_actions": True,
        }
        keep = label_studio.api("POST", "/api/webhooks/", {**automatic, "is_active": False})["id"]
        label_studio.api("POST", "/api/webhooks/", automatic)
        label_studio.api("POST", "/api/webhooks/", {**automatic, "url": "http://127.0.0.1:9/other"})
        assert ensure_webhook(live, project, URL, {"Authorization": "Basic eDp5"}) == keep
        by_url = {hook["url"]: hook for hook in hooks(label_studio, project)}
        assert len(by_url) == len(hooks(label_studio, project)) == 2
        assert by_url[f"{URL}/webhook"]["headers"] == {"Authorization": "Basic eDp5"}
        assert by_url[f"{URL}/webhook"]["is_active"]
