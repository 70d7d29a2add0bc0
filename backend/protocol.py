"""The bodies Label Studio sends to an ML backend, and how a malformed one is answered."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    FailFast,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

# webhook events of Label Studio 1.23, and the one its "Start training" button sends
EVENTS = frozenset(
    {
        "ANNOTATION_CREATED",
        "ANNOTATIONS_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATIONS_DELETED",
        "TASKS_CREATED",
        "TASKS_DELETED",
        "PROJECT_CREATED",
        "PROJECT_UPDATED",
        "PROJECT_DELETED",
        "LABEL_LINK_CREATED",
        "LABEL_LINK_UPDATED",
        "LABEL_LINK_DELETED",
        "START_TRAINING",
    }
)
UNKNOWN = "unknown"
MAX_ID = 2**63 - 1


_ANSWERS = {
    "401": "wrong or missing credentials",
    "408": "the body took too long",
    "413": "the body is too large",
    "422": "the body is malformed",
    "429": "too many requests",
    "503": "MODEL_DIR cannot be used, or too many large requests at once",
}


class MalformedBody(ValueError):
    """A request body that cannot be understood.

    Attributes
    ----------
    problems : list of dict
        ``{"field": dotted name, "message": what is wrong with it}``.
    """

    def __init__(self, problems: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{problem['field']}: {problem['message']}" for problem in problems))
        self.problems = problems


def parse_project(value: Any) -> Any:
    """Return the project id in what Label Studio calls a project: ``7``, ``"7"`` or ``"7.1795212351"``.

    The part behind the point is the time the project was created.

    Raises
    ------
    ValueError
        If there is no id in it.
    """
    if isinstance(value, dict):
        value = value.get("id")
    head = value.partition(".")[0] if isinstance(value, str) else value
    if isinstance(head, str) and head.isascii() and head.isdigit():
        head = int(head[:20])
    if isinstance(head, bool) or not isinstance(head, int) or not 0 < head <= MAX_ID:
        raise ValueError('must be a project id such as 7, "7" or "7.1795212351"')
    return head


_ID_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MAX_ID},
        {"type": "string", "pattern": "^[1-9][0-9]{0,17}(\\.[0-9]*)?$"},
    ]
}
_PROJECT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        *_ID_SCHEMA["anyOf"],
        {"type": "object", "properties": {"id": _ID_SCHEMA}, "required": ["id"]},
    ]
}
Project = Annotated[int, BeforeValidator(parse_project), WithJsonSchema(_PROJECT_SCHEMA)]


class SetupBody(BaseModel):
    """``POST /setup``. The address and token in it are not used: Lineup has its own credentials."""

    project: Project
    created: str = ""
    label_config: str = Field("", validation_alias="schema")
    extra_params: Any = None

    @model_validator(mode="before")
    @classmethod
    def _split(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {**body, "created": str(body.get("project")).partition(".")[2]}

    def digest(self) -> str:
        """Return what stands for this project, at the time it was created, with this label config."""
        return hashlib.sha256(f"{self.created}|{self.label_config}".encode()).hexdigest()


class PredictBody(BaseModel):
    """``POST /predict``; ``params.context`` is what an interactive annotator has drawn so far."""

    # a million wrong tasks are told once, not a million times
    tasks: Annotated[list[dict[str, Any]], FailFast()]
    project: Project | None = None
    label_config: str | None = None
    params: dict[str, Any] | None = None

    def project_id(self) -> int | None:
        """Return the project: the request's, else the first task's."""
        if self.project is not None or not self.tasks:
            return self.project
        try:
            return int(parse_project(self.tasks[0].get("project")))
        except ValueError:
            raise MalformedBody(
                [{"field": "project", "message": "is missing, here and in tasks.0"}]
            ) from None


class WebhookBody(BaseModel):
    """``POST /webhook``: an event; with ``send_payload`` off it comes without a project."""

    action: str
    project: Project | None = None

    @property
    def event(self) -> str:
        """The event's name, or ``unknown``."""
        return self.action if self.action in EVENTS else UNKNOWN


Body = TypeVar("Body", bound=BaseModel)


def parse_body(model: type[Body], raw: bytes) -> Body:
    """Parse a request body.

    Raises
    ------
    MalformedBody
        With the name of each field that is wrong; ``body`` where it is not JSON at all.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise MalformedBody([_problem(item["loc"], item["msg"]) for item in error.errors()]) from None


def describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return what OpenAPI says of a route that takes this body: the routes themselves parse raw bytes."""
    schema = model.model_json_schema()
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {status: {"description": text} for status, text in _ANSWERS.items()},
    }


def _problem(loc: tuple[int | str, ...], message: str) -> dict[str, str]:
    field = ".".join(str(part) for part in loc) or "body"
    # a lone surrogate in what we were sent must not break the answer
    return {
        name: text.encode("utf-8", "replace").decode()
        for name, text in (("field", field), ("message", message))
    }
