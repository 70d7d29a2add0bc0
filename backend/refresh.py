"""The loop: read, embed, look, learn, judge, order, publish. It acts on what is, not on what happened.

How a kind of problem is learned and judged is its course's business, see `backend.courses`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import cached_property

import numpy as np

from backend.activity import is_idle, note_activity
from backend.connect import adopt
from backend.courses import Course, Learned, Lesson, Scene, make_course
from backend.embedding import RETRY_BROKEN_AFTER, EmbeddingRoom
from backend.embedding.engines import Engine, make_engine
from backend.embedding.parts import EmbeddingParts, OwnBackbones
from backend.embedding.stage import EmbeddingStage
from backend.idle import IdleWork
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import find_kind
from backend.labelstudio.errors import LabelStudioError, LabelStudioUnreachable
from backend.labelstudio.fetch import ImageFetcher
from backend.labelstudio.kind import Kind
from backend.labelstudio.predictions import Prediction
from backend.labelstudio.reader import read_project
from backend.learning import Fits, Learning
from backend.logs import note_field
from backend.looks import look
from backend.ordering import Lineup, line_up, rank
from backend.project import BACKBONE, DOUBT, TAKE_BACK, THRESHOLD, Project, open_backbones
from backend.publish import Outcome, Publisher, order_predictions, publishing
from backend.reading import Progress, read
from backend.refresh_result import RefreshResult
from backend.registry import UNTRAINED, Version
from backend.settings import Settings
from backend.snapshot import PUBLISHING, Snapshot
from backend.stream import stream_score
from backend.targets import build_targets, first_labels, reviewed
from backend.vectors import open_vectors
from ml.embedders import Embedder, make_embedder
from ml.survey import Survey
from ml.vectors import VectorStore

log = logging.getLogger(__name__)

KEEP_VERSIONS = 20
# reasons that ask for work even where nothing changed
FORCING = frozenset({"start", "setup", "connect", "rollback", "cli", "full", "START_TRAINING"})


class Refresher:
    """Runs refreshes; keeps the embedder loaded between them.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._idle: dict[int, IdleWork] = {}
        self._reconciled: set[int] = set()
        self._courses: dict[str, Course] = {}
        self._fits = Fits()
        # the last survey of each project, to start the next one from, and the embedder it is of
        self._surveys: dict[int, tuple[str, Survey]] = {}
        self._own = OwnBackbones(settings, lambda: self.fetcher)

    @cached_property
    def client(self) -> LabelStudioClient:
        """The connection to Label Studio."""
        return LabelStudioClient(self.settings.label_studio_url, self.settings.api_key)

    @cached_property
    def embedder(self) -> Embedder:
        """The settings' backbone; loading it can take seconds."""
        return make_embedder(self.settings.embedder, allow_noncommercial=self.settings.allow_noncommercial)

    @cached_property
    def vectors(self) -> VectorStore:
        """Its vectors, shared by all projects."""
        return open_vectors(self.settings, self.embedder.fingerprint, self.embedder.dim)

    @cached_property
    def fetcher(self) -> ImageFetcher:
        """Fetches image bytes."""
        return ImageFetcher(
            self.client, allow_hosts=self.settings.allow_hosts, max_bytes=self.settings.max_image_bytes
        )

    @cached_property
    def stage(self) -> EmbeddingStage:
        """What turns image URIs into vectors."""
        return EmbeddingStage(self.embedder, self.fetcher, self.settings.image_limits)

    @cached_property
    def engine(self) -> Engine:
        """Who embeds the new images of a refresh."""
        return make_engine(self.settings)

    def parts(self, project_id: int, backbone: str | None) -> EmbeddingParts:
        """Return what a project's images are embedded with.

        Parameters
        ----------
        backbone : str or None
            Id of one of the project's own, as a version's manifest names it; None: the settings'.

        Raises
        ------
        BackboneNotFound
            If the project has no such backbone.
        """
        if backbone is None:
            return EmbeddingParts(self.stage, self.vectors)
        return self._own.parts(project_id, backbone)

    def known_projects(self) -> list[int]:
        """Return the projects Lineup has been connected to."""
        return Project.known(self.settings)

    def refresh(
        self,
        project_id: int,
        reasons: Collection[str],
        progress: Progress,
        begins: Callable[[], None] = lambda: None,
    ) -> RefreshResult:
        """Bring one project up to date.

        Parameters
        ----------
        reasons : collection of str
            Why: event names, ``poll``, ``start``, ``setup``, ``connect``, ``rollback``, ``cli``, ``full``.
        begins : callable
            Called before anything is changed; not where there is nothing to do.

        Raises
        ------
        LabelStudioError
            If Label Studio cannot be reached or refuses.
        NotConnected
            If ``/setup`` was called for a project without any ML backend.
        UnsupportedConfig
            If Lineup cannot learn the project's label config.
        """
        try:
            info = read_project(self.client, project_id)
        except LabelStudioError as error:
            if error.status != 404 or isinstance(error, LabelStudioUnreachable):
                raise
            Project.mark_gone(self.settings, project_id)
            log.warning(
                "project %d: Label Studio does not have it, or hides it from this token's user", project_id
            )
            return RefreshResult(
                UNTRAINED, note="Label Studio does not have this project, or hides it from this user"
            )
        if "setup" in reasons:
            adopt(self.client, self.settings, project_id)
        project = Project.open(self.settings, info)
        if "connect" in reasons:  # a person's word: what Lineup had left alone is its own again
            project.store.set_meta(TAKE_BACK, True)
        result = RefreshResult(project.served())
        with result.timed("read"):
            # fields that were written by a publish that was cut short are not remembered, and no time tells of them
            cut_short = bool(project.store.get_meta(PUBLISHING))
            full = "full" in reasons or cut_short
            found = read(self.client, project.store, info, progress, full=full)
            submitting = any(reason.startswith("ANNOTATION") for reason in reasons)
            note_activity(project.store, found.snapshot, submitting=submitting)
        config_changed = project.store.get_meta("config") != info.label_config
        backbone = open_backbones(self.settings, project_id).published()
        again = (
            FORCING.intersection(reasons)
            or config_changed
            or project.store.get_meta(BACKBONE) != backbone
            or cut_short
            or project.store.get_meta("unfinished")
        )
        again = again or self._has_broken(project, time.time() - RETRY_BROKEN_AFTER)
        if not (found.changed or found.deleted or again):
            return self._unchanged(project, result)
        begins()
        project.store.set_meta("unfinished", True)
        self._work(project, backbone, found.snapshot, reasons, result, progress)
        project.store.set_meta("config", info.label_config)
        project.store.set_meta(BACKBONE, backbone)
        project.store.set_meta("unfinished", False)
        project.store.set_meta("result", dict(vars(result)))
        return result

    def _has_broken(self, project: Project, tried_at: float) -> bool:
        """Tell whether an image is to be tried again, for its vector or for what its course reads."""
        course = self.course(find_kind(project.info.label_config).name)
        return project.store.has_broken_before(tried_at) or course.has_broken_before(project.folder, tried_at)

    def _unchanged(self, project: Project, result: RefreshResult) -> RefreshResult:
        """Return what the last refresh that had work to do came to."""
        last = project.store.get_meta("result")
        return RefreshResult(**{**last, "learned": False}) if last else result

    def _work(
        self,
        project: Project,
        published: str | None,
        snapshot: Snapshot,
        reasons: Collection[str],
        result: RefreshResult,
        progress: Progress,
    ) -> None:
        settings, info = self.settings, project.info
        kind = find_kind(info.label_config)
        publisher = Publisher(self.client, project.store, project.registry, settings, info)
        self._idle.pop(project.id, None)
        cut_short = bool(project.store.get_meta(PUBLISHING))
        if cut_short:
            project.store.set_meta(DOUBT, time.time())
        if settings.queue == "on" and (project.id not in self._reconciled or cut_short):
            publisher.stream.reconcile()
            self._reconciled.add(project.id)
        course = self.course(kind.name)
        backbone = course.backbone(project.id, published, kind)
        lesson = self._see(
            project, backbone, kind, course, snapshot, result, progress, full="full" in reasons
        )
        targets = lesson.targets
        progress("learn", 0, 1)
        with result.timed("learn"):
            learning = self._fits.learn(course, lesson)
        learned, version, result.learned = learning.learned, learning.version, learning.new
        progress("order", 0, 1)
        with result.timed("order"):
            lineup = self._order(course, lesson, learning, result)
        version_id = version.id if version else UNTRAINED
        note_field("version", version_id)
        if version and learning.new:
            result.stop = course.stop(lesson, learned, seed=_seed(version))
        elif version:
            result.stop = version.manifest.get("stop")
        outcome = Outcome(
            version_id, lineup, _predictions(version_id, lesson, learned, lineup, self.settings.head_size)
        )
        result.version, result.suspects = outcome.version, lineup.suspects
        result.tasks, result.labels = len(targets.ids), int(targets.labelled.sum())
        result.accuracy, result.note = learned.accuracy, learned.why_not or lesson.parts.embedder.note
        if version and learning.new:
            version.manifest.update(
                stop=result.stop,
                suspects=lineup.suspects,
                review_threshold=lineup.threshold,
                expected_wrong=result.expected_wrong,
                seconds=dict(result.seconds),
            )
            if version.id not in project.registry.ids():
                project.registry.save(version)
        project.store.set_meta(THRESHOLD, lineup.threshold)
        with result.timed("publish"), publishing(project):
            result.written = publisher.publish(
                outcome, snapshot, targets, stored=version is not None, progress=progress
            )
        if version is None:
            project.registry.unpublish()
        project.registry.prune(KEEP_VERSIONS)
        course.tidy(project.folder, version)
        self._idle[project.id] = IdleWork(project, publisher, outcome, snapshot)

    def _see(
        self,
        project: Project,
        backbone: str | None,
        kind: Kind,
        course: Course,
        snapshot: Snapshot,
        result: RefreshResult,
        progress: Progress,
        *,
        full: bool,
    ) -> Lesson:
        """Embed and look."""
        parts = self.parts(project.id, course.embeds_with(backbone))
        targets = build_targets(snapshot, kind, self.settings.reviewers)
        project.store.put_histories(first_labels(targets, kind, project.store.histories()))
        with result.timed("embed"):
            room = EmbeddingRoom(project.store, parts.vectors, parts.stage, self.engine)
            task_ids = targets.ids.tolist()
            embedded = room.embed(project.id, task_ids, targets.uris, progress, measure_all=full)
        scene = Scene(
            project.id,
            project.folder,
            project.store,
            parts,
            backbone,
            task_ids,
            targets.uris,
            embedded,
            progress,
        )
        with result.timed("gather"):
            missing = course.gather(scene)
        progress("look", 0, 1)
        with result.timed("look"):
            fingerprint = parts.embedder.fingerprint
            of, survey = self._surveys.get(project.id, (fingerprint, None))
            looks, survey = look(embedded, self.settings.outliers, survey if of == fingerprint else None)
            self._surveys[project.id] = fingerprint, survey
        return Lesson(project, kind, scene, targets, looks, missing)

    def course(self, kind: str) -> Course:
        """Return how problems of a kind are learned."""
        if kind not in self._courses:
            self._courses[kind] = make_course(kind, self.settings)
        return self._courses[kind]

    def _order(self, course: Course, lesson: Lesson, learning: Learning, result: RefreshResult) -> Lineup:
        project, targets, settings = lesson.project, lesson.targets, self.settings
        histories = project.store.histories()
        checked = reviewed(targets, histories)
        verdict = course.judge(lesson, learning.learned, checked, histories)
        result.expected_wrong = round(verdict.expected_wrong, 1) if verdict else None
        ranked = rank(
            targets,
            lesson.embedded,
            learning.learned,
            strategy=settings.strategy,
            exploration=settings.exploration,
            head=settings.head_size,
            seed=_seed(learning.version) if learning.version else project.id,
        )
        return line_up(
            targets,
            lesson.embedded,
            learning.learned,
            verdict,
            ranked,
            checked,
            noted=lesson.looks.reasons(targets.agreement),
            head=settings.head_size,
            threshold_before=project.store.get_meta(THRESHOLD),
        )

    def remembers(self, project_id: int) -> bool:
        """Tell whether idle work of a project is left that this process has what it needs for."""
        return project_id in self._idle

    def forget(self, project_id: int) -> None:
        """Drop what is known of a project from the last refresh here: another worker has refreshed it since."""
        self._idle.pop(project_id, None)

    def idle_step(self, project_id: int, interrupted: Callable[[], bool]) -> bool:
        """Do what would disturb annotators: complete the predictions, delete old ones, write the last differences.

        Stops between two requests, or masks to be made, as soon as ``interrupted`` says so.

        Returns
        -------
        bool
            True if work is left.
        """
        last = self._idle.get(project_id)
        if last is None or self.settings.queue == "off":
            return False
        if not is_idle(last.publisher.store, self.settings.idle_after):
            return True
        if last.step(interrupted):
            return True
        del self._idle[project_id]
        return False


def _seed(version: Version) -> int:
    return int(version.manifest["digest"][:8], 16)


def _predictions(
    version: str, lesson: Lesson, learned: Learned, lineup: Lineup, head: int
) -> list[Prediction]:
    rows = np.array([row for row, key in enumerate(lesson.usable) if key is not None], dtype=np.int64)
    predictions = {}
    for task_id, result in zip(lesson.targets.ids[rows].tolist(), learned.results(rows), strict=True):
        score = stream_score(lineup.rows[task_id].priority)
        predictions[task_id] = Prediction(task_id, result, score, version)
    return order_predictions(lineup, predictions, head)
