"""A Label Studio that stops, fails, talks nonsense or is slow in the middle of a publish: all comes right by itself.

``FAULT_SECONDS`` says how long Label Studio is stopped, and how long it takes for an answer.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.status import read_status
from demo.label_studio import LabelStudioFailed, LabelStudioServer, executable
from demo.lineup import LineupServer
from tests.conftest import skip_unless_ci
from tests.e2e.workers import wait_for
from tests.faults.kills import Moment, await_moment
from tests.faults.proxy import Fault, FaultProxy
from tests.faults.reader import Reader
from tests.faults.scene import HASTY, Scene
from tests.faults.state import assert_nothing_lost

SECONDS = float(os.environ.get("FAULT_SECONDS", "3"))
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}

FAULTS = {
    "an error of its own": Fault(500, JSON, b'{"detail": "something broke"}'),
    "too many requests": Fault(429, JSON | {"Retry-After": "1"}, b'{"detail": "slow down"}'),
    "an answer lost after the work was done": Fault(502, HTML, b"<html>Bad Gateway</html>", carried_out=True),
    "a web page": Fault(200, HTML, b"<html>Welcome</html>"),
    "an answer cut off, with its length": Fault(keep=0.5),
    "JSON cut off": Fault(200, JSON, b'{"tasks": [{"id": 1, "da', carried_out=True),
    "JSON of something else": Fault(200, JSON, b'{"hello": "world"}'),
    "nothing at all": Fault(200, JSON, b""),
}


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A Label Studio of one's own: it may be stopped."""
    try:
        executable()
    except LabelStudioFailed as error:
        skip_unless_ci(str(error))
    with LabelStudioServer(tmp_path_factory.mktemp("breakable") / "data") as server:
        yield server


def last_error(lineup: LineupServer, scene: Scene) -> str:
    error = read_status(lineup.settings.project_dir(scene.project.id)).last_error
    return error.message if error else ""


def in_a_publish(lineup: LineupServer, scene: Scene, step: str = "publish predictions") -> None:
    """Have people work, and wait until a refresh publishes that."""
    since = time.time()
    scene.grow()
    await_moment(lineup, scene.project.id, Moment(0.0, step), since)


def test_whatever_it_answers(breakable: LabelStudioServer, tmp_path: Path) -> None:
    rng = random.Random(0)
    scene = Scene.make(breakable, "broken answers", seed=1)
    with FaultProxy(breakable.port) as proxy:
        more = {**HASTY, "label_studio_url": proxy.url}
        with LineupServer(breakable, tmp_path / "models", **more) as lineup:
            since = time.time()
            lineup.connect(scene.project.id)
            scene.settle(lineup, since)
            with Reader(scene.project, lineup):
                for what, fault in FAULTS.items():
                    in_a_publish(
                        lineup, scene, rng.choice(("publish predictions", "switch", "publish fields"))
                    )
                    with proxy.broken(fault) as broken:
                        time.sleep(1.5)
                    assert broken, f"nobody met {what}"
                    lineup.wait(scene.project.id, labels=len(scene.labels))
                    assert_nothing_lost(scene.project, scene.labels)
                scene.jump()
                scene.settle(lineup)
            scene.assert_as_if_nothing_had_happened(lineup, tmp_path / "undisturbed")


def test_it_stops_in_the_middle_of_a_publish_and_comes_back(
    breakable: LabelStudioServer, tmp_path: Path
) -> None:
    scene = Scene.make(breakable, "stopped", seed=2)
    with LineupServer(breakable, tmp_path / "models", **HASTY) as lineup:
        since = time.time()
        lineup.connect(scene.project.id)
        scene.settle(lineup, since)
        with Reader(scene.project, lineup) as reader:
            in_a_publish(lineup, scene)
            os.killpg(breakable.pid, signal.SIGKILL)
            stopped = time.monotonic()
            wait_for(lambda: last_error(lineup, scene), "nobody is told")
            assert "Is Label Studio running" in last_error(lineup, scene)
            reader.wait_for_more(10)
            time.sleep(max(0.0, stopped + SECONDS - time.monotonic()))
            breakable.start()
            back = time.monotonic()
            lineup.wait(scene.project.id, labels=len(scene.labels), since=time.time())
            print(f"\nstopped for {back - stopped:.0f} s, caught up {time.monotonic() - back:.0f} s later")
            assert last_error(lineup, scene) == ""
            _label_while_no_event_arrives(lineup, scene)
            scene.jump()
            scene.settle(lineup)
        scene.assert_as_if_nothing_had_happened(lineup, tmp_path / "undisturbed")


def _label_while_no_event_arrives(lineup: LineupServer, scene: Scene) -> None:
    """Label while Lineup's server is suspended: Label Studio sends an event once, and waits a second."""
    assert lineup.process is not None
    os.kill(lineup.process.pid, signal.SIGSTOP)
    try:
        scene.label()
    finally:
        os.kill(lineup.process.pid, signal.SIGCONT)
    lineup.wait(scene.project.id, labels=len(scene.labels))


def test_it_takes_its_time(breakable: LabelStudioServer, tmp_path: Path) -> None:
    scene = Scene.make(breakable, "slow", seed=3)
    own = f"/api/projects/{scene.project.id}/"
    slow = {
        "predictions": r"/api/predictions/|" + own + "import/predictions",
        "switch": own,
        "fields": "/api/dm/actions",
    }
    with FaultProxy(breakable.port) as proxy:
        more = {**HASTY, "label_studio_url": proxy.url}
        with LineupServer(breakable, tmp_path / "models", **more) as lineup:
            since = time.time()
            lineup.connect(scene.project.id)
            scene.settle(lineup, since)

            def rule(method: str, path: str) -> Fault | None:
                """Make the first call that writes in each way a slow one."""
                path = path.partition("?")[0]
                found = next((what for what, form in slow.items() if re.fullmatch(form, path)), None)
                if method == "GET" or found is None:
                    return None
                del slow[found]
                return Fault(delay=SECONDS)

            with Reader(scene.project, lineup) as reader, proxy.broken(rule):
                scene.grow()
                state = scene.settle(lineup)
                assert not slow, f"not written: {sorted(slow)}"
                reader.wait_for_more(1)
    assert_nothing_lost(scene.project, scene.labels)
    assert set(state.stored) == set(state.fields)
