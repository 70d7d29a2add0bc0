"""Every setting of Lineup, once. Each is read from the environment (or a ``.env`` file) under its upper-case name."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AnyHttpUrl,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.shared.url import check_url, is_url, local_path, working_folder
from ml.acquisition import find_strategy
from ml.images import ImageLimits
from ml.outliers import make_outliers
from ml.suspicion.filters import check_filter
from ml.suspicion.scores import make_score

CommaList = Annotated[tuple[str, ...], NoDecode]
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_HTTP_URL = TypeAdapter(AnyHttpUrl)


class Settings(BaseSettings):
    """Settings by environment, with the names users of Label Studio ML backends know."""

    model_config = SettingsConfigDict(
        # an error repeats no value: it may be a secret
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    _model_url: str = PrivateAttr("")

    label_studio_url: str = Field(
        "", description="Address of Label Studio as Lineup reaches it, for example `http://localhost:8080`."
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""), description="A personal access token or a legacy token of a Label Studio user."
    )
    model_dir: Path = Field(
        Path("models"),
        description="Folder for vectors, versions and state, or with `REDIS_URL` a place in an object store that any "
        "number of machines share, for example `s3://bucket/lineup`.",
    )
    model_cache: Path = Field(
        Path("~/.cache/lineup"),
        description="Where a machine keeps what it works on of a `MODEL_DIR` in an object store.",
    )
    host: str = Field(
        "127.0.0.1", description="Address the server listens on; `0.0.0.0` for every interface."
    )
    port: int = Field(9090, ge=1, le=65535, description="Port the server listens on.")
    lineup_url: str = Field(
        "http://localhost:9090",
        description="Address of Lineup as Label Studio reaches it, used by `lineup connect`.",
    )
    basic_auth_user: str = Field("", description="User name for basic auth on everything but `/health`.")
    basic_auth_pass: SecretStr = Field(SecretStr(""), description="Password for basic auth.")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="Secret that Label Studio's webhook sends in the header `X-Lineup-Secret`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Verbosity of the log."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="`text`, or `json`: one object a line, with `project`, `version` and `job` where known.",
    )
    rate_limit: float = Field(
        1000.0,
        ge=0,
        description="Requests a second that one address may send, twice that at once; a wrong password counts as "
        "fifty. 0: any number.",
    )
    max_request_bytes: int = Field(
        64_000_000,
        ge=10_000,
        description="Largest request body, in bytes; all those held at once have twice that.",
    )
    embedder: str = Field(
        "auto",
        description="`auto`, `pixels` (no weights), an alias such as `mobilenet` or `resnet18`, `timm:MODEL`, or "
        "`timm:MODEL@PATH` with a checkpoint of your own.",
    )
    allow_noncommercial: bool = Field(
        False, description="Accept backbone weights whose licence is not known to allow commercial use."
    )
    embed_engine: Literal["auto", "local", "ray"] = Field(
        "auto",
        description="Who embeds many new images: `auto` (with `REDIS_URL` all free workers together), `local` (the "
        "worker that refreshes), `ray` (a Ray cluster).",
    )
    ray_address: str = Field(
        "",
        description="With `EMBED_ENGINE=ray`: a Ray cluster, `auto` or `HOST:6379`; unset: one is started on the "
        "worker's machine for as long as it takes.",
    )
    queue: Literal["on", "off"] = Field(
        "on",
        description="`off`: Lineup leaves the project's fields, tabs, sampling and stored predictions alone.",
    )
    field_prefix: str = Field(
        "lineup_", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Prefix of the task fields Lineup writes."
    )
    review_precision: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of wrong labels you want among those shown in *Review suspects*: 0.9 shows few, 0.3 many. "
        "Unset: the best balance between finding all and showing no others, at least half of them wrong.",
    )
    suspicion_score: str = Field(
        "",
        description="Score that orders labels by suspicion: `posterior`, `log_margin`, or cleanlab's "
        "`self_confidence`, `normalized_margin`, `confidence_weighted_entropy`. Unset: the best measured.",
    )
    suspicion_filter: str = Field(
        "",
        description="One of cleanlab's filters, for example `prune_by_noise_rate`, to decide what is suspect "
        "instead of `REVIEW_PRECISION`.",
    )
    reviewers: CommaList = Field(
        (), description="User ids (comma separated) whose annotations overrule those of others."
    )
    strategy: str = Field(
        "auto",
        description="Query strategy that ranks unlabelled tasks: `auto`, or for example `margin`, `entropy`, `random`.",
    )
    outliers: str = Field(
        "knn_distance",
        description="How images unlike all others are found: `knn_distance`, `isolation_forest`, `dbscan`, or `off`.",
    )
    finetune: Literal["off", "auto"] = Field(
        "off",
        description="`auto`: a backbone is fine-tuned on each project at 200 labels and whenever they have doubled, "
        "and published if it is better; with `REDIS_URL` by `lineup worker --queue train`.",
    )
    exploration: float = Field(
        0.1, ge=0, le=1, description="Share of the head of the queue that is drawn uniformly at random."
    )
    head_size: int = Field(
        50,
        ge=1,
        le=1000,
        description="Tasks whose predictions are written at every refresh while people work.",
    )
    debounce_quiet: float = Field(
        2.0, ge=0, description="Seconds without an event after which a refresh starts."
    )
    debounce_max: float = Field(
        15.0, ge=0, description="Seconds after which a refresh starts even if events go on."
    )
    poll_interval: float = Field(
        60.0, gt=0, description="Seconds between looks for changes no event told of."
    )
    idle_after: float = Field(
        60.0, ge=0, description="Seconds without a submitted annotation after which a project counts as idle."
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis through which several machines share the work, for example "
        "`redis://:password@redis:6379/0`; unset: the server's own worker does all.",
    )
    lease_seconds: float = Field(
        30.0,
        ge=1,
        description="With `REDIS_URL`: seconds after which the project of a worker that died goes to another.",
    )
    job_timeout: int = Field(
        14400,
        ge=1,
        description="With `REDIS_URL`: seconds after which one refresh or training is broken off and tried again; "
        "vectors it has computed stay.",
    )
    data_root: Path | None = Field(
        None,
        description="Folder below which `POST /api/active_learning` and `/api/f1` may read; unset: they read nothing.",
    )
    max_image_bytes: int = Field(50_000_000, gt=0, description="Largest image file read, in bytes.")
    max_image_pixels: int = Field(
        100_000_000, gt=0, le=178_956_970, description="Largest image decoded, in pixels."
    )
    allow_hosts: CommaList = Field(
        (), description="Hosts (comma separated) on private addresses that images may be fetched from."
    )

    @field_validator("reviewers", "allow_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("label_studio_url", "lineup_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value:
            _HTTP_URL.validate_python(value)
        return value.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        # the address may hold a password: it is not repeated
        if value.get_secret_value() and not value.get_secret_value().startswith(REDIS_SCHEMES):
            raise ValueError(f"must begin with one of {', '.join(REDIS_SCHEMES)}")
        try:
            _ = urlsplit(value.get_secret_value()).port
        except ValueError:
            raise ValueError(
                "is no address of a Redis: in its password /, ?, # and @ stand as %2F, %3F, %23 and %40"
            ) from None
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _shared(cls, given: Any, handler: ModelWrapValidatorHandler[Settings]) -> Settings:
        """Take the URL of an object store apart: what works with paths works in a folder of this machine."""
        url = given.get("model_dir") if isinstance(given, dict) else None
        if not isinstance(url, str) or not is_url(url):
            return handler(given)
        path = local_path(url)
        if path is not None:
            return handler({**given, "model_dir": path})
        url = check_url(url)
        cache = given.get("model_cache") or cls.model_fields["model_cache"].default
        settings = handler({**given, "model_dir": working_folder(url, Path(cache))})
        settings._model_url = url
        return settings

    @model_validator(mode="after")
    def _pairs(self) -> Settings:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass.get_secret_value()):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS belong together: set both or neither")
        if self.debounce_max < self.debounce_quiet:
            raise ValueError("DEBOUNCE_MAX must be at least DEBOUNCE_QUIET")
        return self

    @field_validator("strategy")
    @classmethod
    def _strategy(cls, value: str) -> str:
        find_strategy(value)  # raises ValueError with the names there are
        return value

    @field_validator("outliers")
    @classmethod
    def _outliers(cls, value: str) -> str:
        if value != "off":
            make_outliers(value)  # raises ValueError with the names there are
        return value

    @field_validator("suspicion_score")
    @classmethod
    def _score(cls, value: str) -> str:
        if value:
            make_score(value)
        return value

    @field_validator("suspicion_filter")
    @classmethod
    def _filter(cls, value: str) -> str:
        if value:
            check_filter(value)
        return value

    @property
    def model_url(self) -> str:
        """The object store that `MODEL_DIR` names, empty where it is a path; `model_dir` is the working folder then."""
        return self._model_url

    @property
    def model_name(self) -> str:
        """`MODEL_DIR` as it was given, for messages."""
        return self._model_url or str(self.model_dir)

    @property
    def api_key(self) -> str:
        """The Label Studio token in the clear; never log it."""
        return self.label_studio_api_key.get_secret_value()

    @property
    def image_limits(self) -> ImageLimits:
        """What is refused before it is decoded."""
        return ImageLimits(max_bytes=self.max_image_bytes, max_pixels=self.max_image_pixels)

    def project_dir(self, project_id: int) -> Path:
        """Folder that holds one project's state."""
        return self.model_dir / "projects" / str(project_id)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the process's settings, read once."""
    return Settings()
