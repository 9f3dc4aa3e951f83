from pathlib import Path

import pytest

from core import settings
from core.errors import InvalidSettings

ROOT = Path(__file__).parents[3]


def test_the_documented_table_is_that_of_the_code() -> None:
    assert settings.table() in (ROOT / "docs" / "settings.md").read_text(), (
        "docs/settings.md is old: put the output of `forewarn settings` in"
    )


def test_each_setting_has_a_help_sentence() -> None:
    for name, field in settings.Settings.model_fields.items():
        assert field.description, name
        assert field.description[0].isupper(), name
        assert field.description.endswith("."), name


def test_a_wrong_value_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_HTTP_PORT", "hunter2")
    monkeypatch.setenv("FOREWARN_MQTT_VERSION", "4")
    with pytest.raises(InvalidSettings) as caught:
        settings.load()
    assert "FOREWARN_HTTP_PORT: " in str(caught.value)
    assert "FOREWARN_MQTT_VERSION: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_ADMIN_TOKEN", "hunter2")
    monkeypatch.setenv("FOREWARN_DATABASE_URL", "postgresql://me:hunter2@db/x")
    assert "hunter2" not in repr(settings.load())


def test_the_base_url_has_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().base_url == "http://127.0.0.1:8000"
    monkeypatch.setenv("FOREWARN_PUBLIC_URL", "https://support.example.com/")
    assert settings.load().base_url == "https://support.example.com"
