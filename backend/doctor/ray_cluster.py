"""Is the Ray there that `EMBED_ENGINE=ray` asks for?"""

from __future__ import annotations

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped
from backend.embedding.ray_data import RayUnavailable, knock, require_ray


def check_ray(context: Context) -> Outcome:
    """See that Ray is installed, and that something listens at its address; starts and joins nothing."""
    settings = context.settings
    if settings.embed_engine != "ray":
        return skipped("EMBED_ENGINE is not ray")
    try:
        require_ray()
    except RayUnavailable as error:
        return failure(str(error), "pip install -r requirements-ray.txt, or set EMBED_ENGINE=auto")
    try:
        knock(settings.ray_address)
    except RayUnavailable as error:
        return failure(str(error), "Start it with `ray start --head`, or correct RAY_ADDRESS")
    return ok(f"Ray at {settings.ray_address}" if settings.ray_address else "Ray is installed")
