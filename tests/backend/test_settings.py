"""Settings come from the environment, are checked, and every one is in the README."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

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
