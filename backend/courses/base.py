"""What a refresh wants of the course of a kind: to learn, to judge labels, and to say what is predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from backend.embedding import Embedded
from backend.embedding.parts import EmbeddingParts
from backend.labelstudio.kind import Kind
from backend.labelstudio.predictions import Result
from backend.looks import Looks
from backend.project import Project
from backend.registry import Version
from backend.snapshot import History, SnapshotStore
from backend.targets import Targets

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Scene:
    """Images of a project that have been embedded; entry i of the lists is of one task.

    Attributes
    ----------
    folder : Path
        Of the project's state on this machine.
    backbone : str or None
        Id of the project's own network that is used, by whatever part of the course; None: there is none.
    """

    project_id: int
    folder: Path
    store: SnapshotStore
    parts: EmbeddingParts
    backbone: str | None
    task_ids: Sequence[int]
    uris: Sequence[str | None]
    embedded: Embedded
    progress: Progress


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from in one refresh; row i of all arrays is task ``targets.ids[i]``.

    Attributes
    ----------
    missing : dict of str to str
        What `Course.gather` says.
    """

    project: Project
    kind: Kind
    scene: Scene
    targets: Targets
    looks: Looks
    missing: Mapping[str, str]

    @property
    def parts(self) -> EmbeddingParts:
        """What the images were embedded with."""
        return self.scene.parts

    @property
    def embedded(self) -> Embedded:
        """Their vectors."""
        return self.scene.embedded

    @property
    def usable(self) -> list[str | None]:
        """The content of each task's image, None where something that is needed of it is missing."""
        return [None if key in self.missing else key for key in self.embedded.keys]


@dataclass(frozen=True)
class Before:
    """An earlier fit that answers the same question, and the digest of what it was learned from."""

    fit: Any
    digest: str


@dataclass(frozen=True)
class Verdict:
    """What is made of the labels; entry i of all is task ``rows[i]`` of the lesson.

    Attributes
    ----------
    rows : ndarray of int, shape (m,)
        Labelled tasks that were judged, ascending.
    suspicion : ndarray of float, shape (m,)
        Probability that the label is wrong, in [0, 1].
    suggestion : list of str
        What would be right, as one line.
    confidence : ndarray of float, shape (m,)
        Of the suggestion, in [0, 1].
    reason : list of str
        Why a label is worth a look; empty where nothing is wrong.
    threshold : float
        Suspicion from which to review, in (0, 1].
    expected_wrong : float
        Expected number of wrong labels among those nobody has reviewed.
    """

    rows: np.ndarray
    suspicion: np.ndarray
    suggestion: list[str]
    confidence: np.ndarray
    reason: list[str]
    threshold: float
    expected_wrong: float


class Fitted(Protocol):
    """A fitted head."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of a version: the head's, and what a later fit starts from."""
        ...


class Learned(Protocol):
    """What was learned, and what it makes of the tasks of the lesson."""

    @property
    def fit(self) -> Fitted | None:
        """The head; None where there is none."""
        ...

    @property
    def accuracy(self) -> float | None:
        """How well predictions out of sample agree with the labels given, in [0, 1]."""
        ...

    @property
    def why_not(self) -> str | None:
        """Why there is no head."""
        ...

    def question(self, rows: np.ndarray) -> np.ndarray | None:
        """Return what query strategies are given: probabilities of shape (m, C) whose rows sum to 1; None: no head."""
        ...

    def answers(self, labels: np.ndarray) -> np.ndarray | None:
        """Return the class in [0, C) of each label, shape (m,); None where one class does not say it."""
        ...

    def guesses(self, rows: np.ndarray) -> tuple[Sequence[str], np.ndarray]:
        """Return what is predicted, as one line a task, and its confidence in [0, 1]; only with a head."""
        ...

    def results(self, rows: np.ndarray) -> Sequence[Result | Callable[[], Result]]:
        """Return the predictions of tasks as Label Studio results, large ones to be made when sent; empty: no head."""
        ...


class Course(Protocol):
    """How one kind of problem is learned; made once a process."""

    def fingerprint(self, parts: EmbeddingParts) -> str:
        """Return the fingerprint of what heads are learned on."""
        ...

    def backbone(self, project_id: int, published: str | None, kind: Kind) -> str | None:
        """Return the project's own network that is used; None where the published one is of another kind or classes."""
        ...

    def embeds_with(self, backbone: str | None) -> str | None:
        """Return the backbone that vectors are of, where this network is the project's own; None: the setting's."""
        ...

    def gather(self, scene: Scene) -> dict[str, str]:
        """Read what is needed of the images besides their vectors, where it is not known yet.

        Returns
        -------
        dict of str to str
            Why it is missing, by content key.

        Raises
        ------
        LabelStudioError
            If Label Studio cannot be reached.
        """
        ...

    def has_broken_before(self, folder: Path, tried_at: float) -> bool:
        """Tell whether a project lacks what `gather` tried to read before this moment, and not since.

        Parameters
        ----------
        folder : Path
            Of the project's state on this machine.
        tried_at : float
            Since the epoch.
        """
        ...

    def prepare(self, scene: Scene) -> dict[str, str]:
        """Gather what is needed to predict a few images at once; returns and raises as `gather`."""
        ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """Return a fit to start the next one from, of a version's arrays."""
        ...

    def learn(self, lesson: Lesson, digest: str, before: Before | None) -> Any:
        """Learn from the labelled tasks.

        Parameters
        ----------
        digest : str
            Of all there is to learn from: with the same one as before nothing needs to be learned.
        before : Before or None
        """
        ...

    def served_by(self, lesson: Lesson, learned: Any, version: Version) -> Any:
        """Return the same with the unlabelled tasks predicted by a published version."""
        ...

    def judge(
        self, lesson: Lesson, learned: Any, reviewed: np.ndarray, histories: Mapping[int, History]
    ) -> Verdict | None:
        """Judge the labels; None without a head.

        Parameters
        ----------
        reviewed : ndarray of bool, shape (n,)
            Labels a person has checked since they were suspect.
        """
        ...

    def stop(self, lesson: Lesson, learned: Any, *, seed: int) -> dict[str, Any] | None:
        """Return the stop signal, see `backend.classification.stopping.StopSignal`; None where there is none."""
        ...

    def tidy(self, folder: Path, served: Version | None) -> None:
        """Delete what versions before the one that is served now have left in a project's folder."""
        ...

    def manifest(self, lesson: Lesson, learned: Any) -> dict[str, Any]:
        """Return what a version's manifest says of this kind alone: ``labels_by_class`` at least."""
        ...
