"""The base class of label-studio-ml 2.x, reduced to the behaviour a model can notice."""

from __future__ import annotations

from typing import Any

CACHE: dict[tuple[str, str], str] = {}


class LabelStudioMLBase:
    """Made anew for every request; its state is in a cache by project."""

    INITIAL_MODEL_VERSION = "0.0.1"

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None:
            self.set("label_config", label_config)
        if not self.get("model_version"):
            self.set("model_version", self.INITIAL_MODEL_VERSION)
        self.setup()

    def setup(self) -> None:
        """Hook for models."""

    def get(self, key: str) -> str | None:
        return CACHE.get((self.project_id, key))

    def set(self, key: str, value: str) -> None:
        CACHE[self.project_id, key] = value

    @property
    def label_config(self) -> str | None:
        return self.get("label_config")


class Server:
    """What the server's routes do with a model class."""

    def __init__(self, model_class: type[LabelStudioMLBase]) -> None:
        self.model_class = model_class

    def setup(self, body: dict[str, Any]) -> dict[str, Any]:
        project_id = body["project"].split(".", 1)[0]
        model = self.model_class(project_id=project_id, label_config=body["schema"])
        return {"model_version": model.get("model_version")}

    def predict(self, body: dict[str, Any]) -> dict[str, Any]:
        params = dict(body.get("params") or {})
        context = params.pop("context", {}) or {}
        model = self.model_class(
            project_id=str(body["project"]).split(".", 1)[0], label_config=body["label_config"]
        )
        return {"results": model.predict(body["tasks"], context=context, **params)}

    def webhook(self, body: dict[str, Any]) -> dict[str, Any]:
        event = body.pop("action")
        model = self.model_class(
            str(body["project"]["id"]), label_config=body["project"].get("label_config", "")
        )
        result = model.fit(event, body)
        return {"result": result, "status": "ok"}
