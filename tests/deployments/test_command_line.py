"""What the command line says about words that it does not know."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.command_line import application
from flows.settings import load_settings


def test_import_names_the_fields_when_one_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKER_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    answer = CliRunner().invoke(application, ["import", str(tmp_path / "pairs.csv"), "--column", "foo=document"])
    load_settings.cache_clear()
    assert answer.exit_code == 2
    assert "'foo'" in answer.output
    assert "subject_id" in answer.output
