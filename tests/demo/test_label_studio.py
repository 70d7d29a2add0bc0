"""The server that the demo and the end-to-end tests run on."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo.label_studio import LabelStudioFailed, LabelStudioServer, free_port

CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<Choices name="c" toName="image"><Choice value="a"/></Choices></View>'
)


def test_the_real_server_answers_and_makes_projects(label_studio: LabelStudioServer) -> None:
    assert label_studio.api("GET", "/api/version")["release"] == "1.23.2"
    project = label_studio.create_project("made by a test", CONFIG, maximum_annotations=2)
    assert label_studio.api("GET", f"/api/projects/{project}")["maximum_annotations"] == 2
    os.kill(label_studio.pid, 0)


def test_errors_are_raised_with_path_and_status(label_studio: LabelStudioServer) -> None:
    with pytest.raises(LabelStudioFailed, match="GET /api/projects/999999 answered 404"):
        label_studio.api("GET", "/api/projects/999999")


def test_further_users_have_tokens_of_their_own(label_studio: LabelStudioServer) -> None:
    ann = label_studio.user("ann@example.com")
    assert label_studio.user("ann@example.com") is ann
    assert ann.token != label_studio.token
    assert label_studio.api("GET", "/api/current-user/whoami", token=ann.token)["email"] == "ann@example.com"


def test_files_are_served_from_a_folder(label_studio: LabelStudioServer) -> None:
    folder = label_studio.files_dir / "served"
    folder.mkdir()
    (folder / "a.txt").write_text("hello")
    project = label_studio.create_project("files", CONFIG)
    label_studio.serve_folder(project, folder)
    ids = label_studio.import_tasks(project, [{"data": {"image": label_studio.file_uri(folder / "a.txt")}}])
    assert label_studio.api("GET", f"/api/tasks/{ids[0]}")["data"]["image"].endswith("d=served/a.txt")


def test_an_import_that_has_to_wait_for_the_database_keeps_its_annotations(
    label_studio: LabelStudioServer,
) -> None:
    project = label_studio.create_project("waiting", CONFIG)
    label = {"from_name": "c", "to_name": "image", "type": "choices", "value": {"choices": ["a"]}}
    task = {"data": {"image": "/a.png"}, "annotations": [{"result": [label]}]}
    (database,) = label_studio.data_dir.glob("*.sqlite3")
    with sqlite3.connect(database, isolation_level=None) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        imported = pool.submit(label_studio.import_tasks, project, [task, task])
        time.sleep(6)  # Label Studio waits five seconds for a lock
        other.execute("COMMIT")
        ids = imported.result()
    for task_id in ids:
        found = label_studio.api("GET", f"/api/tasks/{task_id}")
        assert [annotation["result"][0]["value"] for annotation in found["annotations"]] == [label["value"]]
        assert found["is_labeled"]


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port
