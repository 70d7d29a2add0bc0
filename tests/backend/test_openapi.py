"""Whatever is sent, Lineup answers in time and never with a server error: by its OpenAPI schema, and beyond it."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from backend.app import create_app
from backend.settings import Settings
from tests.backend.served import Caller
from tests.backend.trained import CONFIG, HintList, make_trained

BODIES = 2000
OPTIONS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
}
ROUTES = ["/setup", "/predict", "/webhook"]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application with a trained project 7 and no worker; images it has not met are no images."""
    settings = Settings(
        _env_file=None,
        model_dir=tmp_path_factory.mktemp("models"),
        embedder="pixels",
        label_studio_url="http://127.0.0.1:9",
        label_studio_api_key="a" * 40,
        rate_limit=0,
    )
    make_trained(settings)
    made = create_app(settings, HintList())
    embed = lambda project_id, images, *_: {uri: "no such image" for _, uri in images}  # noqa: E731
    made.state.service.predictor.newcomers.embed = embed
    made.add_api_route("/openapi.json", lambda: JSONResponse(made.openapi()), include_in_schema=False)
    return made


@pytest.fixture(scope="module")
def caller(app: FastAPI) -> Iterator[Caller]:
    made = Caller(app)
    yield made
    made.close()


@pytest.mark.parametrize("fits", [True, False], ids=["as it says", "against it"])
@pytest.mark.parametrize("path", ["/health", "/versions", *ROUTES])
def test_the_schema_holds(app: FastAPI, path: str, fits: bool) -> None:
    if path == "/health" and not fits:
        pytest.skip("it takes nothing that could be wrong")
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][
        "POST" if path in ROUTES else "GET"
    ]
    mode = GenerationMode.POSITIVE if fits else GenerationMode.NEGATIVE

    @given(case=operation.as_strategy(generation_mode=mode))
    @given_settings(max_examples=60, **OPTIONS)
    def check(case: Any) -> None:
        case.call_and_validate(checks=[not_a_server_error, status_code_conformance, content_type_conformance])

    check()


NAMES = [
    "project",
    "tasks",
    "schema",
    "label_config",
    "params",
    "action",
    "annotation",
    "id",
    "data",
    "image",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["7", "7.1", CONFIG, "/known/dark.png", "ANNOTATION_CREATED", "../..", "\ud800", "9" * 30]
    )
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
TASK = st.fixed_dictionaries(
    {},
    optional={"id": LEAVES, "data": ANYTHING | st.fixed_dictionaries({"image": LEAVES}), "project": LEAVES},
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "project": st.sampled_from([7, "7", "7.1", {"id": 7}]) | ANYTHING,
        "tasks": st.lists(TASK, max_size=3) | ANYTHING,
        "label_config": st.sampled_from([None, CONFIG, CONFIG[:40], "<View/>"]) | LEAVES,
        "schema": st.just(CONFIG) | LEAVES,
        "action": st.just("ANNOTATION_CREATED") | LEAVES,
        "params": ANYTHING,
    },
)
WRITTEN = (LIKELY | ANYTHING).map(lambda body: json.dumps(body).encode())
RAW = st.one_of(
    WRITTEN,
    st.tuples(WRITTEN, st.integers(0, 60)).map(lambda cut: cut[0][: -cut[1] or None]),
    st.binary(max_size=60),
    st.sampled_from(
        [b"[" * 100_000, b'{"a":' * 50_000, b"1" * 100_000, b'"\\ud800"', b"\xff\xfe", b"1e999", b""]
    ),
)


@pytest.mark.parametrize("path", ROUTES)
def test_two_thousand_bodies_a_route(caller: Caller, path: str) -> None:
    seen = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @given(raw=RAW)
    @given_settings(max_examples=BODIES, **OPTIONS)
    def check(raw: bytes) -> None:
        nonlocal seen
        seen += 1
        status, answer = caller.post(path, raw)
        assert status in (200, 422), (raw, answer)
        if status == 422:
            assert all(problem["field"] and problem["message"] for problem in answer["detail"])
        elif path == "/predict":
            assert len(answer["results"]) == len(json.loads(raw)["tasks"])

    check()
    assert seen >= BODIES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
