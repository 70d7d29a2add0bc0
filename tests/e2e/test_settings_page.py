"""Connecting Lineup in Label Studio's own settings page is enough, with basic auth and a personal access token."""

from __future__ import annotations

import time
from pathlib import Path

from demo.annotator import Annotator
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.e2e.conftest import QUICK
from tests.e2e.project import make_project


def test_the_settings_page_is_enough(label_studio: LabelStudioServer, tmp_path: Path) -> None:
    with label_studio.personal_token() as pat:
        project = make_project(label_studio, "settings page", size=60, labelled=30)
        auth = {"label_studio_api_key": pat, "basic_auth_user": "lineup", "basic_auth_pass": "right horse"}
        # nothing but an event can tell of a change here
        settings = {**QUICK, "webhook_secret": "", "poll_interval": 3600.0, **auth}
        with LineupServer(label_studio, tmp_path / "models", **settings) as lineup:
            since = time.time()
            label_studio.api(
                "POST",
                "/api/ml",
                {
                    "project": project.id,
                    "url": lineup.url,
                    "title": "My model",
                    "auth_method": "BASIC_AUTH",
                    "basic_auth_user": "lineup",
                    "basic_auth_pass": "right horse",
                },
            )
            first = lineup.wait(project.id, since=since)
            assert first.version.startswith("choices-1-")
            assert project.served_version() == first.version
            [hook] = label_studio.api("GET", "/api/webhooks/", params={"project": project.id})
            assert hook["url"] == f"{lineup.url}/webhook"
            assert hook["headers"]["Authorization"].startswith("Basic ")
            views = label_studio.api("GET", "/api/dm/views/", params={"project": project.id})
            assert [view["data"]["title"] for view in views] == ["Label next", "Review suspects"]
            list(Annotator(label_studio, project.id, project.truth).annotate(3))
            after = lineup.wait(project.id, labels=33)
            assert project.served_version() == after.version != first.version
        log = lineup.log_path.read_text()
        assert pat not in log
        assert "right horse" not in log
