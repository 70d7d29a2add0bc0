"""Can Lineup keep its state?"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from backend.doctor.context import Context
from backend.doctor.folder import standing
from backend.doctor.outcome import Outcome, failure, ok, warning

TOO_LITTLE = 100e6
LITTLE = 2e9


def check_disk(context: Context) -> Outcome:
    """See that ``MODEL_DIR`` can be written to, and how much room there is."""
    folder = context.settings.model_dir
    try:
        with standing(folder), tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"lineup")
            file.flush()
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return failure(
            f"MODEL_DIR={folder} cannot be written to: {error.strerror or error}",
            "Give the user that runs Lineup the folder, free space on it, or set MODEL_DIR to another",
        )
    line = f"MODEL_DIR={_shown(folder)} can be written to, {free / 1e9:.1f} GB free"
    if free < TOO_LITTLE:
        return failure(f"{line}: too little for another version", "Free some, or move MODEL_DIR")
    if free < LITTLE:
        return warning(
            line, "100,000 images take about 0.3 GB of vectors: free some before the project grows"
        )
    return ok(line)


def _shown(folder: Path) -> Path:
    return folder.resolve() if str(folder) == "." else folder
