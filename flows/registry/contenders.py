"""Who is to be judged: challengers of one snapshot, and the champion that they are held against."""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.contracts.model import ModelVersion
from flows.registry.failures import RegistryError
from flows.registry.registry import Registry


@dataclass(frozen=True)
class Contenders:
    """Challengers, and the champion as it was when they were chosen."""

    challengers: tuple[ModelVersion, ...]
    champion: ModelVersion | None
    settled: str | None = None
    """Why there is nothing to judge; None where there is."""

    @property
    def snapshot(self) -> str:
        """Digest of the snapshot on whose test split all are judged."""
        return self.challengers[0].snapshot

    @property
    def champion_number(self) -> int | None:
        """The champion's version."""
        return self.champion.version if self.champion else None


def choose_contenders(registry: Registry, versions: Sequence[int] | None, again: bool = False) -> Contenders:
    """Return who is judged.

    What is settled stays settled, or the next run of the loop would undo it: a former champion, taken back or not,
    is no challenger by itself, and a challenger that somebody turned down is not held against the same champion once
    more.

    Args:
        registry: Where the versions are.
        versions: The challengers; without them, the alias `challenger`.
        again: Judge also what is settled.

    Raises:
        RegistryError: there is no challenger, or they come from different snapshots.
    """
    champion = registry.champion()
    found = _named(registry, versions)
    if len({version.snapshot for version in found}) > 1:
        raise RegistryError(
            f"Versions {', '.join(str(v.version) for v in found)} come from different snapshots, so no test split is "
            "fair to all of them: judge those of one snapshot together."
        )
    objections = {version.version: _objection(version, champion, again) for version in found}
    left = tuple(version for version in found if objections[version.version] is None)
    if left:
        return Contenders(left, champion)
    return Contenders(found, champion, "; ".join(filter(None, dict.fromkeys(objections.values()))))


def _named(registry: Registry, versions: Sequence[int] | None) -> tuple[ModelVersion, ...]:
    if versions:
        return tuple(registry.version(number) for number in dict.fromkeys(versions))
    challenger = registry.challenger()
    if challenger is None:
        raise RegistryError("No version has the alias `challenger`. Train one: prefect deployment run train/local")
    return (challenger,)


def _objection(version: ModelVersion, champion: ModelVersion | None, again: bool) -> str | None:
    if champion is not None and version.version == champion.version:
        return "champion already"
    if again:
        return None
    if version.taken_back is not None:
        return "taken back"
    if version.was_champion:
        return (
            "champion before"  # it lost to another since, or was put aside by one: the flow `revert` brings it back
        )
    word = version.approval
    same_champion = word is not None and word.champion == (champion.version if champion else None)
    if word is not None and same_champion and word.by_a_person and not word.approved:
        return "turned down"
    return None
