"""What every host can do."""

from collections.abc import Callable, Sequence
from typing import Protocol

from flows.contracts.release import PackagedBento, Release, ScoredPair


class Host(Protocol):
    """Runs one release of the service at one address."""

    def roll_out(
        self,
        bento: PackagedBento,
        checks: Sequence[ScoredPair],
        approved_by: str,
        progress: Callable[[str], None],
    ) -> Release:
        """Let `bento` serve once it answers `checks` rightly; the release before serves on when it does not."""
        ...

    def current(self) -> Release | None:
        """Return the release that answers now, or None."""
        ...

    def stop(self) -> None:
        """End the service."""
        ...
