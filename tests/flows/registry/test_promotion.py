import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.registry import Registry, RegistryError
from flows.settings import RegistrySettings


@pytest.fixture(scope="module")
def database_of_three(empty_database, train, tmp_path_factory):
    home = tmp_path_factory.mktemp("three")
    shutil.copy(empty_database, home / "mlflow.db")
    registry = Registry(RegistrySettings(), f"sqlite:///{home}/mlflow.db")
    for seed in "abc":
        registry.register(train(home, seed), {"ndcg@10": 0.5})
    return home / "mlflow.db"


@pytest.fixture
def three(uri, database_of_three):
    """A registry with versions 1, 2 and 3; 3 is challenger."""
    shutil.copy(database_of_three, uri.removeprefix("sqlite:///"))
    return Registry(RegistrySettings(), uri)


def state(registry):
    return {
        name: version and version.version
        for name, version in {
            "champion": registry.champion(),
            "challenger": registry.challenger(),
            "previous": registry.previous(),
        }.items()
    }


def test_the_first_promotion_has_no_previous(three):
    assert three.promote(3).aliases == ("champion",)
    assert state(three) == {"champion": 3, "challenger": None, "previous": None}


def test_the_old_champion_becomes_previous(three):
    three.promote(1)
    three.promote(3)
    assert state(three) == {"champion": 3, "challenger": None, "previous": 1}


def test_promoting_twice_keeps_the_way_back(three):
    three.promote(1)
    three.promote(3)
    three.promote(3)
    assert state(three)["previous"] == 1


def test_the_way_back_is_a_promotion_too(three):
    three.promote(1)
    three.promote(3)
    three.promote(1)
    assert state(three) == {"champion": 1, "challenger": None, "previous": 3}


def test_a_rejected_version_is_no_challenger_and_the_champion_stays(three):
    three.promote(1)
    assert three.reject(3).aliases == ()
    assert state(three) == {"champion": 1, "challenger": None, "previous": None}


def test_a_judged_model_that_is_registered_again_is_not_challenger_again(three, trained):
    three.reject(3)
    assert three.register(trained("c"), {}).aliases == ()
    three.promote(2)
    assert three.register(trained("b"), {}).aliases == ("champion",)


def test_the_champion_cannot_be_rejected(three):
    three.promote(3)
    with pytest.raises(RegistryError, match="Version 3 is the champion"):
        three.reject(3)


class Killed(BaseException):
    """The process ends here."""


def die_after(monkeypatch, client, calls):
    """End the process after this many changes to the registry."""
    left = [calls]

    def dying(change):
        def call(*arguments, **named):
            result = change(*arguments, **named)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return result

        return call

    for name in ("set_registered_model_alias", "delete_registered_model_alias", "set_model_version_tag"):
        monkeypatch.setattr(client, name, dying(getattr(client, name)))


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5])
def test_killed_in_the_middle_of_a_promotion(three, uri, monkeypatch, calls):
    """Replaced, previous, champion, verdict, challenger: each leaves a champion, and repeating completes it."""
    three.promote(1)
    dying = Registry(RegistrySettings(), uri)
    die_after(monkeypatch, dying._client, calls)
    with pytest.raises(Killed):
        dying.promote(3)
    assert state(three)["champion"] == (1 if calls <= 2 else 3)
    three.promote(3)
    assert state(three) == {"champion": 3, "challenger": None, "previous": 1}
    assert three.version(3).replaced == 1


@given(judgements=st.lists(st.tuples(st.sampled_from(["promote", "reject"]), st.integers(1, 3)), max_size=6))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_keeps_a_champion_and_the_one_before(three, judgements):
    champion = three.champion()
    for verb, version in judgements:
        before = three.champion()
        try:
            getattr(three, verb)(version)
        except RegistryError:
            assert (verb, version) == ("reject", before.version)
        after = three.champion()
        if verb == "promote":
            assert after.version == version
            if before and before.version != version:
                assert three.previous().version == before.version
        else:
            assert (after and after.version) == (before and before.version)
    assert champion is None or three.champion() is not None
