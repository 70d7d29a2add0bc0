"""All checks, in the order they are shown: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.doctor.configuration import check_settings
from backend.doctor.connection import check_connection, check_webhook
from backend.doctor.context import Context
from backend.doctor.disk import check_disk
from backend.doctor.label_config import check_label_config
from backend.doctor.label_studio import check_label_studio
from backend.doctor.order import check_order
from backend.doctor.outcome import Outcome
from backend.doctor.ray_cluster import check_ray
from backend.doctor.reach import check_callback, check_private_addresses
from backend.doctor.redis_server import check_redis
from backend.doctor.shared import check_shared
from backend.doctor.storage import check_local_files
from backend.doctor.task import check_task
from backend.doctor.tokens import check_legacy_tokens, check_rights, check_token
from backend.doctor.weights import check_gpu, check_weights
from backend.doctor.worker import check_refresh, check_worker


@dataclass(frozen=True)
class Check:
    """One look at one thing.

    Attributes
    ----------
    name : str
    look : callable
    needs : tuple of str
        Checks before this one that must not have failed, or there is nothing to look at.
    each_project : bool
        Whether it is done for each project, rather than once.
    """

    name: str
    look: Callable[[Context], Outcome]
    needs: tuple[str, ...] = ("settings",)
    each_project: bool = False


CHECKS = (
    Check("settings", check_settings, ()),
    Check("label studio", check_label_studio),
    Check("token", check_token, ("label studio",)),
    Check("legacy tokens", check_legacy_tokens, ("token",)),
    Check("callback", check_callback, ("token",)),
    Check("private addresses", check_private_addresses, ("token",)),
    Check("project", check_rights, ("token",), True),
    Check("connection", check_connection, ("project",), True),
    Check("webhook", check_webhook, ("project",), True),
    Check("local files", check_local_files, ("project",), True),
    Check("label config", check_label_config, ("project",), True),
    Check("refresh", check_refresh, ("project",), True),
    Check("task", check_task, ("connection", "label config"), True),
    Check("order", check_order, ("label config",), True),
    Check("redis", check_redis),
    Check("worker", check_worker, ("redis",)),
    Check("ray", check_ray),
    Check("shared folder", check_shared),
    Check("disk", check_disk),
    Check("weights", check_weights),
    Check("gpu", check_gpu),
)
