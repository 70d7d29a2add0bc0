"""One project's folder: its snapshot and its versions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.backbones import BackboneStore
from backend.registry import UNTRAINED, Version, VersionRegistry
from backend.settings import Settings
from backend.shared.backbones import SharedBackbones
from backend.shared.folder import share
from backend.shared.project import SharedProject
from backend.shared.registry import SharedRegistry
from backend.snapshot import SNAPSHOT, ProjectInfo, SnapshotStore
from backend.status import Status, read_status, write_status

log = logging.getLogger(__name__)

GONE = "gone"
VERSIONS = "versions"
BACKBONES = "backbones"
# the backbone of the last refresh that had work to do
BACKBONE = "backbone"
# digests of what was learned last, and of what a person's rollback set aside
LEARNED, PINNED = "learned", "pinned"
# whether the next refresh takes tabs and sampling back from whoever changed them
TAKE_BACK = "take_back"
# meta: when a publish was found that had not ended, because what it had sent last may arrive later
DOUBT = "doubt"
# suspicion from which a label was suspect at the last refresh
THRESHOLD = "review_threshold"


@dataclass(frozen=True)
class Project:
    """A project Lineup knows: what Label Studio says of it, and where its state lives.

    Attributes
    ----------
    shared : SharedProject or None
        Its state in the object store that `MODEL_DIR` names; None where that is a folder.
    """

    id: int
    info: ProjectInfo
    store: SnapshotStore
    registry: VersionRegistry
    shared: SharedProject | None = None

    @classmethod
    def open(cls, settings: Settings, info: ProjectInfo) -> Project:
        """Open or create the state of a project.

        State kept under the same id for another project (a new Label Studio database, say) is moved aside.
        """
        folder, shared = settings.project_dir(info.id), share(settings)
        if (folder / SNAPSHOT).exists():
            known = SnapshotStore(folder / SNAPSHOT).get_meta("project")
            if known and known["created_at"] != info.created_at:
                aside = folder.with_name(f"{info.id}.created-{known['created_at'].replace(':', '')}")
                log.warning(
                    "project %d is not the one of %s: its state is moved to %s",
                    info.id,
                    known["created_at"],
                    aside,
                )
                if shared:
                    shared.set_aside(info.id, aside.name)
                folder.rename(aside)
        store = SnapshotStore(folder / SNAPSHOT)
        (folder / GONE).unlink(missing_ok=True)
        if store.get_meta("project") is None:
            store.save_project(info)
        if shared:
            shared.connect(info.id)
        place = shared.project(info.id) if shared else None
        return cls(info.id, info, store, open_registry(settings, info.id), place)

    @property
    def folder(self) -> Path:
        """Where its state is on this machine."""
        return self.store.path.parent

    @staticmethod
    def known(settings: Settings) -> list[int]:
        """Return the ids of all projects with state that Label Studio still has, ascending."""
        if shared := share(settings):
            return shared.known()
        root = settings.model_dir / "projects"
        if not root.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in root.iterdir()
            if path.name.isdigit() and (path / SNAPSHOT).exists() and not (path / GONE).exists()
        )

    @staticmethod
    def mark_gone(settings: Settings, project_id: int) -> None:
        """Stop looking after a project that Label Studio no longer has; its state stays, should it come back."""
        if shared := share(settings):
            shared.forget(project_id)
            return
        folder = settings.project_dir(project_id)
        if folder.is_dir():
            (folder / GONE).touch()

    def served(self) -> str:
        """Return the version served now, or ``untrained``."""
        return self.registry.published() or UNTRAINED

    def served_version(self, label_config: str, fingerprint: str) -> Version | None:
        """Return the served version if it answers the question the project asks now, else None.

        Parameters
        ----------
        label_config, fingerprint : str
            Digests of the label config and of the embedder.
        """
        version_id = self.registry.published()
        if version_id is None:
            return None
        manifest = self.registry.manifest(version_id)
        if manifest["label_config"] != label_config or manifest["fingerprint"] != fingerprint:
            return None
        return self.registry.load(version_id)

    def keeps(self, served: Version, digest: str, labels: str, backbone: str | None) -> bool:
        """Tell whether the served version stays.

        It does where it was learned from the same, or where a person went back to it and nothing has changed since.

        Parameters
        ----------
        digest, labels : str
            What a head would learn from now, with and without the embedder: a person may have gone back to another.
        backbone : str or None
            The project's own network now: whoever publishes or drops one wants another version.
        """
        if digest == served.manifest["digest"]:
            return True
        return served.manifest.get("backbone") == backbone and self.store.get_meta(PINNED) in (digest, labels)

    def begun(self, digest: str) -> str | None:
        """Return a version learned from exactly this whose publishing was cut short, to be finished."""
        for version_id in reversed(self.registry.ids()):
            if (
                not self.registry.was_published(version_id)
                and self.registry.manifest(version_id)["digest"] == digest
            ):
                return version_id
        return None


def open_registry(settings: Settings, project_id: int) -> VersionRegistry:
    """Return the versions of a project."""
    root, shared = settings.project_dir(project_id) / VERSIONS, share(settings)
    return SharedRegistry(root, shared.project(project_id)) if shared else VersionRegistry(root)


def open_backbones(settings: Settings, project_id: int) -> BackboneStore:
    """Return the backbones of a project's own."""
    root, shared = settings.project_dir(project_id) / BACKBONES, share(settings)
    return SharedBackbones(root, shared.project(project_id)) if shared else BackboneStore(root, project_id)


def project_status(settings: Settings, project_id: int, *, now: bool = False) -> Status:
    """Return what is going on in a project, on whatever machine: as of a second ago, or of ``now``."""
    if shared := share(settings):
        return shared.project(project_id).status(now=now)
    return read_status(settings.project_dir(project_id))


def tell_status(settings: Settings, project_id: int, status: Status) -> None:
    """Let everybody know what is going on in a project."""
    write_status(settings.project_dir(project_id), status)
    if shared := share(settings):
        shared.project(project_id).tell(status)


@contextmanager
def project_turn(settings: Settings, project_id: int) -> Iterator[None]:
    """Change a project's state, for who has it to themselves: as it is on all machines, and for all of them."""
    shared = share(settings)
    project = shared.project(project_id) if shared else None
    if project:
        project.take()
    yield
    if project:
        project.turns.push()


def pin(settings: Settings, project_id: int) -> None:
    """Keep the served version until there is something to learn that has not been learned yet."""
    store = SnapshotStore(settings.project_dir(project_id) / SNAPSHOT)
    store.set_meta(PINNED, store.get_meta(LEARNED))
