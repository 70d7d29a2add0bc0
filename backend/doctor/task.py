"""One task from end to end: its image, and the prediction Label Studio gets for it."""

from __future__ import annotations

from typing import Any

from label_studio_sdk.label_interface import LabelInterface

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped, warning
from backend.labelstudio.config import find_kind
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.registry import UNTRAINED
from ml.images import ImageError, ImageLimits, decode_reduced

_SIDE = 32


def check_task(context: Context) -> Outcome:
    """Have Label Studio ask for a prediction of a random task, fetch its image, validate the answer."""
    if not context.info.task_number:
        return skipped("the project has no tasks", "Import some")
    assert context.backend is not None  # this check needs the one of the connection
    try:
        answer = context.client.post(f"/api/ml/{context.backend['id']}/predict/test?random=true")
    except LabelStudioError as error:
        if error.status != 500:
            raise
        return failure(
            f"Label Studio asked Lineup for a prediction in vain: {error.message}", "See Lineup's log"
        )
    task, predictions = answer["task"], answer["response"]
    broken = _image(context, task)
    if broken is not None:
        return broken
    if not isinstance(predictions, list) or len(predictions) != 1:
        return failure(
            f"task {task['id']}: the answer is not one prediction: {predictions!r}"[:300], "See Lineup's log"
        )
    return _prediction(context, task["id"], predictions[0])


def _image(context: Context, task: dict[str, Any]) -> Outcome | None:
    """Fetch and decode the task's image; None where that went well."""
    settings, task_id = context.settings, task["id"]
    uri = find_kind(context.info.label_config).image_uri(task["data"])
    if uri is None:
        return failure(
            f"task {task_id} has no image in the field the label config names",
            "Import tasks with that field, or name another in the label config",
        )
    fetcher = ImageFetcher(
        context.client, allow_hosts=settings.allow_hosts, max_bytes=settings.max_image_bytes
    )
    limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    try:
        decode_reduced(fetcher.fetch(uri, task_id, context.project_id), limits=limits, side=_SIDE)
    except ImageFetchError as error:
        return failure(
            str(error), "Open the task in Label Studio: does it show? Private hosts need ALLOW_HOSTS"
        )
    except ImageError as error:
        return failure(
            f"task {task_id}: image {uri}: {error}", "Replace the file; MAX_IMAGE_PIXELS is the limit"
        )
    finally:
        fetcher.close()
    return None


def _prediction(context: Context, task_id: int, prediction: dict[str, Any]) -> Outcome:
    again = f"lineup refresh --project {context.project_id} --wait"
    version = prediction.get("model_version")
    if version == UNTRAINED:
        return warning(
            f"task {task_id}: its image is read, but there is no model yet",
            "Label a few tasks of two classes, then: " + again,
        )
    errors = LabelInterface(context.info.label_config).validate_prediction(
        {**prediction, "task": task_id}, return_errors=True
    )
    if errors:
        said = "; ".join(str(error) for error in errors)
        return failure(f"task {task_id}: the prediction does not fit the label config: {said}"[:500], again)
    if not prediction["result"] and prediction["score"] == 0:
        return failure(f"task {task_id}: its image is read, but version {version} gives no prediction", again)
    return ok(f"task {task_id}: image fetched, predicted by {version}, valid")
