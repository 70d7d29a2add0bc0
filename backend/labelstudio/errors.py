"""What can go wrong between Lineup and Label Studio."""

from __future__ import annotations


class LabelStudioError(Exception):
    """A call to Label Studio that failed.

    Parameters
    ----------
    status : int or None
        HTTP status; None where no answer came.
    method, path : str
        The call; a path never carries a token.
    message : str
        What Label Studio said, or what happened instead.
    hint : str
        What to do about it.
    """

    def __init__(self, status: int | None, method: str, path: str, message: str, hint: str = "") -> None:
        self.status = status
        self.method = method
        self.path = path
        self.message = message
        self.hint = hint
        answered = f"answered {status}" if status is not None else "did not answer"
        advice = f". {hint}" if hint else ""
        super().__init__(f"Label Studio {answered} to {method} {path}: {message}{advice}")

    def __reduce__(self) -> tuple[type[LabelStudioError], tuple[object, ...]]:
        """Cross a process boundary whole."""
        return type(self), (self.status, self.method, self.path, self.message, self.hint)


class LabelStudioUnreachable(LabelStudioError):
    """Label Studio did not answer, or what answered is not Label Studio: look at ``LABEL_STUDIO_URL``."""


class LabelStudioAuthError(LabelStudioError):
    """Label Studio refused the credentials: look at ``LABEL_STUDIO_API_KEY``."""
