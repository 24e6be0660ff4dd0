"""The way back: the previous champion, or a named one, and what is kept of it."""

import shutil
from datetime import UTC, datetime

import pytest

from flows.contracts.model import Approval
from flows.registry import Registry, RegistryError
from flows.settings import RegistrySettings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def database_of_succession(empty_database, train, tmp_path_factory):
    """Champions 1, 2 and 3 after each other; 4 was turned down."""
    home = tmp_path_factory.mktemp("succession")
    shutil.copy(empty_database, home / "mlflow.db")
    registry = Registry(RegistrySettings(), f"sqlite:///{home}/mlflow.db")
    for seed in "abcd":
        version = registry.register(train(home, seed), {"ndcg@10": 0.5}, card=f"# Model {seed}\n").version
        if seed != "d":
            registry.promote(version)
    registry.reject(4)
    return home / "mlflow.db"


@pytest.fixture
def registry(uri, database_of_succession):
    shutil.copy(database_of_succession, uri.removeprefix("sqlite:///"))
    return Registry(RegistrySettings(), uri)


def back(registry, to=None, by="Ada", reason="complaints"):
    """Revert from beginning to end."""
    done = registry.revert(to, by, reason, NOON)
    registry.settle()
    return done


def aliases(registry):
    found = {"champion": registry.champion(), "previous": registry.previous(), "challenger": registry.challenger()}
    return {name: version.version for name, version in found.items() if version}


def test_the_previous_champion_is_put_back_and_both_versions_say_so(registry):
    done = back(registry)
    assert (done.taken_back, done.put_back, done.by, done.reason) == (3, 2, "Ada", "complaints")
    assert aliases(registry) == {"champion": 2}
    assert registry.version(3).taken_back == done
    assert registry.version(2).taken_back is None
    tags = registry._client.get_model_version("reranker", "2").tags
    assert '"by":"Ada"' in tags["reranker.put_back"]
    assert (
        "taken back | by Ada on 2026-03-01: complaints"
        in registry._client.get_model_version("reranker", "3").description
    )


def test_again_changes_nothing(registry):
    assert back(registry) == back(registry, by="Bob", reason="again")
    assert aliases(registry) == {"champion": 2}


def test_further_back_or_forth_only_to_a_named_version(registry):
    back(registry)
    assert back(registry, to=1).taken_back == 2
    assert aliases(registry) == {"champion": 1}
    assert back(registry, to=3).put_back == 3
    assert aliases(registry) == {"champion": 3}
    assert registry.version(3).taken_back is None
    assert [registry.version(n).taken_back.by for n in (1, 2)] == ["Ada", "Ada"]


def test_after_the_next_promotion_there_is_a_way_back_again(registry):
    back(registry)
    registry.promote(4)
    assert aliases(registry) == {"champion": 4, "previous": 2}
    assert back(registry).put_back == 2


def test_who_is_promoted_again_was_not_taken_back(registry):
    back(registry)
    assert registry.promote(3).taken_back is None


@pytest.mark.parametrize("to", [4, 99])
def test_only_a_former_champion_can_be_put_back(registry, to):
    with pytest.raises(RegistryError, match=str(to)):
        back(registry, to)
    assert aliases(registry) == {"champion": 3, "previous": 2}


def test_a_former_champion_that_loses_another_judgement_can_still_be_put_back(registry):
    registry.reject(2)
    assert back(registry).put_back == 2
    assert aliases(registry) == {"champion": 2}


def test_without_a_former_champion_there_is_no_way_back(registry, uri, empty_database, trained):
    with pytest.raises(RegistryError, match="never"):
        back(registry, 4)
    shutil.copy(empty_database, uri.removeprefix("sqlite:///"))
    fresh = Registry(RegistrySettings(), uri)
    with pytest.raises(RegistryError, match="no champion to take back"):
        back(fresh)
    fresh.promote(fresh.register(trained(), {}).version)
    with pytest.raises(RegistryError, match="Name the version"):
        back(fresh)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("calls", range(1, 7))
def test_killed_after_any_change_there_is_a_champion_and_again_ends_the_same(registry, uri, monkeypatch, calls):
    dying = Registry(RegistrySettings(), uri)
    left = [calls]

    def dying_change(change):
        def call(*arguments, **named):
            result = change(*arguments, **named)
            left[0] -= 1
            if not left[0]:
                raise Killed
            return result

        return call

    changes = ("set_registered_model_alias", "delete_registered_model_alias", "set_model_version_tag")
    for name in (*changes, "update_model_version"):
        monkeypatch.setattr(dying._client, name, dying_change(getattr(dying._client, name)))
    with pytest.raises(Killed):
        back(dying)
    assert aliases(registry)["champion"] in (2, 3)
    assert back(registry).put_back == 2
    assert aliases(registry) == {"champion": 2}
    assert registry.version(3).taken_back.put_back == 2


def test_the_last_word_is_kept_with_the_version(registry):
    word = Approval(approved=True, by="Grace", at=NOON, reason="looks | right", champion=3)
    assert registry.promote(4, word).approval == word
    assert registry.version(4).replaced == 3
    description = registry._client.get_model_version("reranker", "4").description
    assert description.startswith("# Model d\n")
    assert "| took over from | version 3 |" in description
    assert r"| let through | by Grace on 2026-03-01: looks \| right |" in description
