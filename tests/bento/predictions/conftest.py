"""A folder of the record, as its readers see it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Lines = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    def read(kind: str) -> list[dict[str, Any]]:
        files = sorted((tmp_path / "log").glob(f"{kind}-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]

    return read
