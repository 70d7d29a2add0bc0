"""What can be asked for, and by which names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# a checkpoint is a file of this machine: only who may log in to it names one
Backbone = Annotated[str, Field(max_length=200, pattern=r"^[^@]*$")]
_SKIP = Field(False, description="Leave out what cannot be used, and name it, instead of failing.")
_PATH = Field(max_length=4000, description="Below DATA_ROOT.")


class ActiveLearningBody(BaseModel):
    """Choose the next batch, as `lineup select` does."""

    model_config = ConfigDict(extra="forbid")

    path_to_img: str = _PATH
    path_to_labels: str | None = Field(
        None, max_length=4000, description="Below DATA_ROOT; none yet without it."
    )
    add: int = Field(ge=1, le=1_000_000)
    method: str = Field("auto", max_length=100)
    backbone: Backbone = "auto"
    seed: int = Field(0, ge=0, le=2**32 - 1)
    task: Literal["classification"] = "classification"
    skip_problems: bool = _SKIP

    def paths(self) -> list[str]:
        """Return the paths it names."""
        return [self.path_to_img, *([self.path_to_labels] if self.path_to_labels else [])]


class F1Body(BaseModel):
    """Say what labels are worth, as `lineup evaluate` does."""

    model_config = ConfigDict(extra="forbid")

    path_to_labels_train: str = _PATH
    path_to_labels_val: str = _PATH
    path_to_img_train: str | None = Field(None, max_length=4000)
    path_to_img_val: str | None = Field(None, max_length=4000)
    backbone: Backbone = "auto"
    skip_problems: bool = _SKIP

    def paths(self) -> list[str]:
        """Return the paths it names."""
        images = (self.path_to_img_train, self.path_to_img_val)
        return [self.path_to_labels_train, self.path_to_labels_val, *(path for path in images if path)]


# the path of the route, and what it takes
BODIES: dict[str, type[ActiveLearningBody] | type[F1Body]] = {
    "active_learning": ActiveLearningBody,
    "f1": F1Body,
}
Ask = dict[str, Any]
