"""Checkpoints of a training that was interrupted: kept two deep, verified before one is used."""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

_log = logging.getLogger(__name__)

_MANIFEST = "checkpoint.json"
_KEPT = 2


class CheckpointStore(Protocol):
    """Keeps the checkpoints of one training. Every method raises OSError when the place cannot be used now."""

    def steps(self) -> list[int]:
        """Return the steps of which there is a checkpoint, whole or not, the newest first."""
        ...

    def save(self, step: int, folder: Path) -> None:
        """Take the files in `folder`, which may be moved away, as the checkpoint of `step`."""
        ...

    def fetch(self, step: int, into: Path) -> Path:
        """Return the folder with the checkpoint's files: `into`, to which they are brought, or where they lie."""
        ...

    def discard(self, step: int) -> None:
        """Forget a checkpoint."""
        ...


class LocalCheckpoints:
    """A folder with one folder for each step, which appears there at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """Return the steps, the newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((int(p.name) for p in self.folder.iterdir() if p.name.isdecimal()), reverse=True)

    def save(self, step: int, folder: Path) -> None:
        """Move the files here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            shutil.move(folder, partial)
            self.discard(step)
            partial.replace(self._at(step))
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def fetch(self, step: int, into: Path) -> Path:
        """Return where the files lie; `into` stays empty."""
        return self._at(step)

    def discard(self, step: int) -> None:
        """Remove the files; the folder too with the last of them."""
        shutil.rmtree(self._at(step), ignore_errors=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _at(self, step: int) -> Path:
        return self.folder / str(step)


class Checkpoints:
    """The checkpoints of one training in a store.

    Each carries the SHA-256 of its files and what it was trained from and with (`identity`): one that is damaged, or
    of another data, settings, start, code or number of processes, is never gone on from.
    """

    def __init__(self, store: CheckpointStore, identity: Mapping[str, str]) -> None:
        self._store = store
        self._identity = dict(identity)

    def write(self, step: int, folder: Path) -> None:
        """Keep the files in `folder`, which may be moved away, and forget all but the newest two; OSError."""
        files = {str(file.relative_to(folder)): _sha256(file) for file in _files(folder)}
        manifest = {"step": step, "identity": self._identity, "files": files}
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")
        self._store.save(step, folder)
        for old in self._store.steps()[_KEPT:]:
            self._store.discard(old)

    def newest(self, into: Path) -> Path | None:
        """Return the folder of the newest checkpoint that can be gone on from, None without one.

        It is `into` where the files had to be fetched. Those that cannot be used are forgotten, each with a line
        that says why. OSError when the store cannot be used.
        """
        for step in self._store.steps():
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir(parents=True)
            folder = self._store.fetch(step, into)
            fault = self._fault(step, folder)
            if fault is None:
                _log.info("Training goes on from its checkpoint of step %d", step)
                return folder
            _log.warning("The checkpoint of step %d is not used: %s", step, fault)
            self._store.discard(step)
        return None

    def _fault(self, step: int, folder: Path) -> str | None:
        """Return why the checkpoint in `folder` cannot be used, None when it can."""
        try:
            manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
            identity, files, found = dict(manifest["identity"]), dict(manifest["files"]), int(manifest["step"])
        except (OSError, ValueError, KeyError, TypeError):
            return "it is not whole"
        changed = [name for name in self._identity if identity.get(name) != self._identity[name]]
        if changed:
            return f"it comes from another {' and another '.join(changed)}"
        if found != step:
            return f"it is that of step {found}"
        for name, expected in files.items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if _sha256(file) != expected:
                return f"{name} is damaged"
        return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
