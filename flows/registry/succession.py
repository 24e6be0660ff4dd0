"""Who is champion, who was before, and how one takes the other's place."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from flows.contracts.model import Reversion
from flows.registry.failures import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERDICT_TAG = "reranker.verdict"
REPLACED_TAG = "reranker.replaced"
TAKEN_BACK_TAG = "reranker.taken_back"
PUT_BACK_TAG = "reranker.put_back"


class Succession:
    """The aliases and the tags that go with them.

    Each change leaves a champion in place, and repeating them after a crash in their middle gives the same end.
    """

    def __init__(self, client: "MlflowClient", model: str) -> None:
        """Work on the versions of the registered model `model`."""
        self._client = client
        self._model = model

    def aliases(self) -> Mapping[str, int]:
        """Return the aliases; none where the registered model does not exist yet."""
        found = self._client.search_registered_models(f"name = '{self._model}'")
        return {alias: int(number) for model in found for alias, number in model.aliases.items()}

    def promote(self, version: int) -> None:
        """Make `version` the champion; the champion until now becomes `previous`."""
        aliases = self.aliases()
        champion = aliases.get("champion")
        if champion != version:
            if champion is not None:
                self._tag(version, REPLACED_TAG, str(champion))
                self._alias("previous", champion)
            self._alias("champion", version)
        self._untag(version, TAKEN_BACK_TAG)
        self._judged(version, "promoted", aliases)

    def reject(self, version: int) -> None:
        """Note that `version` was judged and does not take over; RegistryError for the champion.

        A former champion that is judged again and loses stays one that can be put back.
        """
        aliases = self.aliases()
        if aliases.get("champion") == version:
            raise RegistryError(f"Version {version} is the champion: promote another instead of rejecting it.")
        former = self._tags(version).get(VERDICT_TAG) == "promoted"
        self._judged(version, "promoted" if former else "rejected", aliases)

    def revert(self, to: int | None, by: str, reason: str, at: datetime) -> Reversion:
        """Put a former champion back; return the record, of the former attempt where it is done already.

        The alias `previous` names the target first, so that an attempt that died is taken up by the next one; it
        stays there until `settle`.
        """
        aliases = self.aliases()
        champion = aliases.get("champion")
        if champion is None:
            raise RegistryError("There is no champion to take back. Earn one: prefect deployment run lifecycle/local")
        target = to or aliases.get("previous") or champion
        if target == champion:
            return self._put_back(champion)
        if VERDICT_TAG not in self._tags(target) or self._tags(target)[VERDICT_TAG] != "promoted":
            raise RegistryError(
                f"Version {target} never was champion, so it cannot be put back. Let the gate judge it: "
                "prefect deployment run promote/local"
            )
        record = Reversion(taken_back=champion, put_back=target, by=by, reason=reason, at=at)
        self._alias("previous", target)
        self._tag(champion, TAKEN_BACK_TAG, record.model_dump_json())
        self._tag(target, PUT_BACK_TAG, record.model_dump_json())
        self._untag(target, TAKEN_BACK_TAG)
        self._alias("champion", target)
        return record

    def reverting(self) -> bool:
        """Whether a revert has put a champion back and is not settled yet."""
        aliases = self.aliases()
        return "previous" in aliases and aliases["previous"] == aliases.get("champion")

    def settle(self) -> None:
        """End a revert: there is no way back any more but by naming a version."""
        if self.reverting():
            self._client.delete_registered_model_alias(self._model, "previous")

    def _put_back(self, champion: int) -> Reversion:
        tags = self._tags(champion)
        if PUT_BACK_TAG not in tags:
            raise RegistryError(
                f"Version {champion} is the champion and there is no previous one. Name the version to put back."
            )
        return Reversion.model_validate_json(tags[PUT_BACK_TAG])

    def _judged(self, version: int, verdict: str, aliases: Mapping[str, int]) -> None:
        self._tag(version, VERDICT_TAG, verdict)
        if aliases.get("challenger") == version:
            self._client.delete_registered_model_alias(self._model, "challenger")

    def _alias(self, alias: str, version: int) -> None:
        self._client.set_registered_model_alias(self._model, alias, str(version))

    def _tags(self, version: int) -> Mapping[str, str]:
        tags: Mapping[str, str] = self._client.get_model_version(self._model, str(version)).tags
        return tags

    def _tag(self, version: int, name: str, value: str) -> None:
        self._client.set_model_version_tag(self._model, str(version), name, value)

    def _untag(self, version: int, name: str) -> None:
        if name in self._tags(version):
            self._client.delete_model_version_tag(self._model, str(version), name)
