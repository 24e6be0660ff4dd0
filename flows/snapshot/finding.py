"""Find a snapshot by its name."""

from pathlib import Path

from flows.contracts.snapshot import Snapshot
from flows.snapshot.errors import SnapshotError


def find(folder: Path, digest: str | None = None) -> Snapshot:
    """Return the snapshot below `folder` whose digest starts with `digest`, or the newest one.

    Raises:
        SnapshotError: there is none, or more than one begins like this.
    """
    found = [Snapshot(path) for path in folder.glob(f"{digest or '[0-9a-f]'}*") if (path / "manifest.json").is_file()]
    if not found:
        which = f" that begins with {digest}" if digest else ""
        raise SnapshotError(f"No snapshot{which} in {folder}. Freeze one: prefect deployment run validate/local")
    if digest and len(found) > 1:
        raise SnapshotError(f"{len(found)} snapshots begin with {digest}: give more of the digest.")
    return max(found, key=lambda snapshot: snapshot.manifest.created_at)
