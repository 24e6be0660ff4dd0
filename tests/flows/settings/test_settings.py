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


@pytest.mark.parametrize("value", ["bce", '["bce'])
def test_a_list_that_is_no_json_is_named_with_the_way_to_write_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKER_TRAINING__RIVALS", value)
    with pytest.raises(SettingsError, match=r"^RERANKER_TRAINING__.*write a list as"):
        load_settings()


def test_a_rule_between_settings_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_GATE__MIN_NDCG_GAIN", "0.03")
    with pytest.raises(SettingsError, match=r"^RERANKER_GATE: a gain of"):
        load_settings()


def test_null_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_TRAINING__MINING__MARGIN", "null")
    monkeypatch.setenv("RERANKER_GATE__MAX_LATENCY_MS", "null")
    assert load_settings().training.mining.margin is None
    assert load_settings().gate.max_latency_ms is None


def test_an_address_with_a_password_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_RETRIEVAL__QDRANT_URL", "https://me:s3cret@qdrant.example")
    with pytest.raises(SettingsError, match=r"^RERANKER_RETRIEVAL__QDRANT_URL: ") as failure:
        load_settings()
    assert "s3cret" not in str(failure.value)


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
