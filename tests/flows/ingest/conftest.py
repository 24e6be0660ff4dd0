"""Files to import, and a store to import them into."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.store import SqliteLabelStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteLabelStore:
    return SqliteLabelStore(tmp_path / "store" / "labels.db")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of bytes, text or JSON lines."""

    def write(name: str, content: bytes | str | list[Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(line) + "\n" for line in content)
        path.write_bytes(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
        return path

    return write
