"""Can the project's tasks show the local files they name?"""

from __future__ import annotations

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.labelstudio.reader import read_tasks

LOCAL_FILES = "/data/local-files/"


def check_local_files(context: Context) -> Outcome:
    """See that the project has a storage for ``/data/local-files`` URIs, and that one of them is delivered."""
    found = _first_local_file(context)
    if found is None:
        return skipped("no task names a local file")
    task_id, uri = found
    storages = context.client.get("/api/storages/localfiles", {"project": context.project_id})
    if not storages:
        return failure(
            f"task {task_id} names {uri}, and the project has no local-files storage",
            "Add one in Label Studio: Settings, Cloud Storage, Add Source Storage, Local files",
        )
    fetcher = ImageFetcher(context.client, max_bytes=context.settings.max_image_bytes)
    try:
        fetcher.fetch(uri, task_id, context.project_id)
    except ImageFetchError as error:
        return failure(
            f"task {task_id}: Label Studio does not deliver {uri}: {error.why}",
            "See that the file is there, and start Label Studio with LOCAL_FILES_SERVING_ENABLED=true and "
            "LOCAL_FILES_DOCUMENT_ROOT above the storage's folder",
        )
    finally:
        fetcher.close()
    return ok(f"{len(storages)} storage, task {task_id}'s file is delivered")


def _first_local_file(context: Context) -> tuple[int, str] | None:
    """Return the first task of the first page with such a URI: a project's tasks rarely differ in that."""
    page = next(read_tasks(context.client, context.project_id), [])
    for task in page:
        for value in task.data.values():
            if isinstance(value, str) and value.startswith(LOCAL_FILES):
                return task.id, value
    return None
