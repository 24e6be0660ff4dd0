"""Wrong settings: named by their environment variable, never passed over, never shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RERANKER_TRAINING__EPOCHS", "abc"),
        ("RERANKER_TRAINING__EPOCH", "2"),
        ("RERANKER_TRANING__EPOCHS", "2"),
        ("RERANKER_HOST__PORT", "99999"),
        ("RERANKER_SERVERS__PREFECT_PORT", "-1"),
        ("RERANKER_PROFILE", "moon"),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_wrong_setting_is_named(
    variable: str, value: str, in_file: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if in_file:
        (tmp_path / ".env").write_text(f"{variable}={value}\n", "utf-8")
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        load_settings()


def test_a_key_is_not_shown_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_STORE__SUPABASE_KEY", "k3y")
    monkeypatch.setenv("RERANKER_STORE__KIND", "supabase")
    monkeypatch.setenv("RERANKER_PROFILE", "aws")
    with pytest.raises(SettingsError) as failure:
        load_settings()
    assert "RERANKER_STORE__SUPABASE_URL" in str(failure.value)
    assert "k3y" not in str(failure.value)


def test_the_services_own_settings_are_no_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_SERVICE_MAX_DOCUMENTS", "5")
    assert load_settings().profile == "local"


def test_a_home_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RERANKER_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match="RERANKER_HOME"):
        load_settings().folder()
