"""The way back as a flow, and what the loop makes of it afterwards."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.exceptions import ParameterTypeError

from flows.promote import promote
from flows.registry import Registry, RegistryError, open_registry
from flows.revert import revert, settle
from flows.settings import TrainingSettings, load_settings
from flows.train import find_registered, train
from tests.flows.loop import artifact, events, frozen, trained

pytestmark = pytest.mark.slow

TRAINING = TrainingSettings()


@pytest.fixture
def registry(home: Path, reranker: Path) -> Registry:
    """Champion 1, and 2 that took over from it and had started from it."""
    snapshot = frozen(reranker)
    registry = open_registry(load_settings())
    for digest in ("ab" * 32, "cd" * 32):
        champion = registry.champion()
        started = str(registry.fetch(champion.version, home / "models")) if champion else "base"
        changes = {"configuration": TRAINING.digest(), "started_from": started}
        model = trained(reranker, snapshot, digest).model_copy(update=changes)
        registry.promote(registry.register(model, {"ndcg@10": 1.0}).version)
    return registry


def champion(registry: Registry) -> int | None:
    found = registry.champion()
    return found.version if found else None


def test_the_previous_champion_is_put_back_once(registry: Registry) -> None:
    done = revert(name=" Ada ", reason="answers got worse", serve=False)
    assert (done.taken_back, done.put_back, done.by) == (2, 1, "Ada")
    assert champion(registry) == 1
    assert "Version 1 is champion again" in artifact("revert")
    assert "answers got worse" in artifact("revert")
    (event,) = events("reranker.champion.reverted")
    assert event.resource.id == "reranker.model.2"
    assert (event.payload["put_back"], event.payload["by"]) == (1, "Ada")

    assert revert(name="Ada", reason="again", serve=False) == done
    assert champion(registry) == 1
    assert len(events("reranker.champion.reverted")) == 1
    assert revert(name="Ada", reason="it was not the model", version=2, serve=False).put_back == 2
    assert champion(registry) == 2


def test_a_process_that_dies_in_between_is_taken_up(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(self: Registry) -> bool:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(Registry, "reverting", die)
        with pytest.raises(Killed):
            settle.fn(registry.revert(None, "Ada", "worse", datetime.now(UTC)))
    assert champion(registry) == 1
    assert revert(name="Bob", reason="once more", serve=False).by == "Ada"
    assert champion(registry) == 1
    assert len(events("reranker.champion.reverted")) == 1


@pytest.mark.parametrize(("name", "reason"), [("", "why"), ("Ada", "  ")])
def test_nobody_reverts_without_a_name_and_a_reason(registry: Registry, name: str, reason: str) -> None:
    with pytest.raises(ParameterTypeError, match="invalid parameters"):
        revert(name=name, reason=reason, serve=False)
    assert champion(registry) == 2


def test_the_loop_does_not_undo_a_revert(registry: Registry) -> None:
    revert(name="Ada", reason="worse", serve=False)
    snapshot = registry.version(2).snapshot
    known = train(snapshot=snapshot, training=TRAINING)
    assert known == [2]  # nothing else would come of training again
    judgement = promote(versions=known)
    assert (judgement.verdict, judgement.champion) == ("taken back", 1)
    assert champion(registry) == 1


def test_from_another_champion_a_new_challenger_is_trained(registry: Registry, reranker: Path) -> None:
    snapshot = registry.version(2).snapshot
    revert(name="Ada", reason="worse", serve=False)
    assert find_registered.fn(snapshot, TRAINING.digest(), True) == 2
    third = trained(reranker, frozen(reranker), "12" * 32).model_copy(update={"snapshot": "ef" * 32})
    registry.promote(registry.register(third, {}).version)
    assert find_registered.fn(snapshot, TRAINING.digest(), True) == 1  # the older one, which was not taken back
    assert find_registered.fn(snapshot, TRAINING.model_copy(update={"seed": 99}).digest(), True) is None


def test_without_a_former_champion_the_run_fails_and_says_why(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"version=9\) not found"):
        revert(name="Ada", reason="worse", version=9, serve=False)
    assert champion(registry) == 2
