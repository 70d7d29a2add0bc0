"""Which licences let weights be used commercially; the others need to be allowed by whoever runs Lineup."""

from __future__ import annotations

from ml.embedders.base import WeightsNotAllowed

# as timm names them; an allow-list, so that a licence nobody has read is not taken for a free one
COMMERCIAL = frozenset(
    {
        "apache-2.0",
        "apple-ascl",
        "bsd-3-clause",
        "cc-by-4.0",
        "cvnets-license",
        "dinov3-license",
        "fastvit-license",
        "mit",
        "mobileone-license",
        "nvidia-open-model-license",
    }
)


def require_commercial(model: str, licence: str | None, *, allow_noncommercial: bool) -> str:
    """Return the licence of a model's weights if they may be used.

    Parameters
    ----------
    model : str
        For the error message.
    licence : str or None
        As timm records it.
    allow_noncommercial : bool
        Accept any.

    Raises
    ------
    WeightsNotAllowed
        If the licence is not known to allow commercial use and that was not accepted.
    """
    if allow_noncommercial or (licence or "").lower() in COMMERCIAL:
        return licence or "unknown"
    what = f"the licence {licence}, which is not known to allow" if licence else "no known licence to allow"
    raise WeightsNotAllowed(
        f"the weights of {model} have {what} commercial use; choose another embedder, or, if your use is "
        "within their licence, set ALLOW_NONCOMMERCIAL=true (allow_noncommercial=True in make_embedder)"
    )
