"""Settings come from the environment, are checked, and every one is in the README."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.jobs.embedded import to_environment
from backend.settings import Settings


@pytest.fixture(autouse=True)
def _no_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_names_that_users_of_ml_backends_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://ls.example:8080/")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "abc")
    monkeypatch.setenv("ALLOW_HOSTS", "images.local, 10.0.0.3")
    monkeypatch.setenv("REVIEWERS", "")
    settings = Settings()
    assert settings.label_studio_url == "http://ls.example:8080"
    assert settings.api_key == "abc"
    assert "abc" not in repr(settings)
    assert settings.allow_hosts == ("images.local", "10.0.0.3")
    assert settings.reviewers == ()
    assert settings.port == 9090


@pytest.mark.parametrize("password", ["pa/ss", "pa#ss", "pa?ss"])
def test_a_password_that_breaks_the_address_is_not_told(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:{password}@redis:6379/0")
    with pytest.raises(ValidationError, match="stand as %2F") as caught:
        Settings()
    assert password not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LABEL_STUDIO_URL", "localhost:8080", "label_studio_url"),
        ("BASIC_AUTH_USER", "bob", "BASIC_AUTH_USER and BASIC_AUTH_PASS belong together"),
        ("DEBOUNCE_MAX", "1", "DEBOUNCE_MAX must be at least DEBOUNCE_QUIET"),
        ("FIELD_PREFIX", "a-b", "field_prefix"),
        ("QUEUE", "maybe", "queue"),
        ("EXPLORATION", "1.5", "exploration"),
        ("OUTLIERS", "vibes", "no outlier method 'vibes'"),
        ("STRATEGY", "best", "unknown query strategy 'best'"),
        ("MODEL_DIR", "ftp://host/models", "MODEL_DIR is a path or begins with one of file://, s3://"),
        ("MODEL_DIR", "s3:///models", "a bucket and a folder in it"),
        ("MODEL_DIR", "s3://bucket/a/../b", "has no . and .. in it"),
        ("MODEL_DIR", "file://elsewhere/models", "names another machine"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=said):
        Settings()


def test_every_setting_is_in_the_readme_with_its_default(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    missing = [name.upper() for name in Settings.model_fields if f"| `{name.upper()}` |" not in readme]
    assert not missing, f"README.md does not document {', '.join(missing)}"


def test_a_model_dir_in_an_object_store_has_a_working_folder_here(tmp_path: Path) -> None:
    def made(url: str, **more: Path) -> Settings:
        return Settings(_env_file=None, model_dir=url, **more)  # type: ignore[call-arg]

    one = made("s3://bucket/lineup/", model_cache=tmp_path)
    assert one.model_url == one.model_name == "s3://bucket/lineup"
    assert one.model_dir.parent == tmp_path
    assert one.model_dir == made("S3://bucket//lineup", model_cache=tmp_path).model_dir
    assert one.model_dir != made("s3://bucket/other", model_cache=tmp_path).model_dir
    assert made("s3://bucket/lineup").model_dir.parent == Path.home() / ".cache/lineup"
    assert {name: to_environment(one)[name] for name in ("MODEL_DIR", "MODEL_CACHE")} == {
        "MODEL_DIR": "s3://bucket/lineup",
        "MODEL_CACHE": str(tmp_path),
    }
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - as it is handed to a child process


def test_a_path_and_a_file_url_are_paths(tmp_path: Path) -> None:
    for given in (tmp_path / "a b", str(tmp_path / "a b"), f"file://{tmp_path}/a%20b"):
        settings = Settings(_env_file=None, model_dir=given)  # type: ignore[call-arg]
        assert settings.model_dir == tmp_path / "a b"
        assert settings.model_url == ""


def test_credentials_in_a_model_dir_are_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError, match="must hold no credentials") as caught:
        Settings(_env_file=None, model_dir="s3://key:hunter2@bucket/x")  # type: ignore[call-arg]
    assert "hunter2" not in str(caught.value)
