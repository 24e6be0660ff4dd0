"""Where a version comes from, its card, and any of many versions at hand."""

import shutil
import subprocess
import time
from datetime import UTC, datetime

from flows.contracts.model import Approval
from flows.registry import CandidateFile, Registry, model_card
from flows.registry.card import DESCRIPTION_CHARACTERS, with_life
from flows.registry.lineage import code_version
from flows.settings import RegistrySettings, TrainingSettings

SETTINGS = TrainingSettings(seed=5).model_dump(mode="json")


def test_lineage_stands_in_the_tags_and_beside_the_weights(registry, trained, tmp_path):
    first = trained()
    registry.register(first, {}, lineage=registry.lineage(first, SETTINGS))
    champion = registry.promote(1)
    started = registry.fetch(1, tmp_path / "models")
    second = trained("b", started_from=str(started))
    registry.register(second, {}, lineage=registry.lineage(second, SETTINGS))

    assert (champion.parent, registry.version(2).parent) == (None, 1)
    tags = registry._client.get_model_version("reranker", "2").tags
    assert tags["reranker.parent"] == "1"
    assert tags["reranker.base_model"] == "carried:minilm"
    assert tags["reranker.code"] == code_version()
    about = CandidateFile.read(registry.fetch(2, tmp_path / "models"))
    assert about.started_from == "models:/reranker/1"
    lineage = about.lineage
    assert lineage.settings == SETTINGS
    assert (lineage.parent, lineage.base_model, lineage.code) == (1, "carried:minilm", code_version())


def test_the_code_is_the_commit_and_says_when_files_differ(tmp_path):
    assert code_version(tmp_path).startswith("reranker-mlops ")

    def git(*arguments):
        named = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        return subprocess.run(["git", *named, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)

    git("init")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-m", "first")
    git("tag", "v1")
    commit = git("rev-parse", "HEAD").stdout.strip()
    assert code_version(tmp_path) == commit
    (tmp_path / "file").write_text("b")
    assert code_version(tmp_path) == f"{commit}-dirty"


def test_the_card_says_what_the_run_knows(registry, trained, snapshot):
    model = trained()
    lineage = registry.lineage(model, SETTINGS)
    slices = {"source a|b": {"ndcg@10": 0.25}}
    card = model_card(model, lineage, snapshot.manifest, {"ndcg@10": 0.5, "mrr@10": 0.75}, slices, None)
    for said in (
        snapshot.digest,
        "12 labelled pairs from 2024-01-01 to 2024-01-01",
        "| seed | `5` |",
        "| all | 0.500 | 0.750 |",
        r"| source a\|b | 0.250 |  |",
        "cut after 32 tokens",
        "Base model: unknown",
        code_version(),
    ):
        assert said in card, said
    registry.register(model, {}, lineage=lineage, card=card)
    assert registry._client.get_model_version("reranker", "1").description == card
    assert len(card) < DESCRIPTION_CHARACTERS


def test_what_became_of_it_replaces_what_was_said_before_and_fits(registry, trained):
    registry.register(trained(), {}, card="word\n" * 2_000)
    word = Approval(approved=False, by="Ada", at=datetime(2026, 3, 1, tzinfo=UTC), reason="too slow", champion=None)
    version = registry.reject(1, word)
    description = registry._client.get_model_version("reranker", "1").description
    assert len(description) <= DESCRIPTION_CHARACTERS
    assert "the rest is in `model-card.md`" in description
    assert "| turned down | by Ada on 2026-03-01: too slow |" in description
    whole = with_life("word\n" * 2_000, version)
    assert with_life(whole, version) == whole
    assert len(whole) > 10_000


def test_of_a_dozen_versions_all_stay_and_each_is_loaded_within_seconds(registry, uri, train, tmp_path):
    from sentence_transformers import CrossEncoder

    for seed in "abcdefghijkl":
        registry.promote(registry.register(train(tmp_path, seed), {"ndcg@10": 0.5}).version)
    other = Registry(RegistrySettings(), uri)
    assert [version.version for version in other.versions()] == list(range(12, 0, -1))
    assert [version.replaced for version in other.versions()] == [*range(11, 0, -1), None]
    shutil.rmtree(tmp_path / "trained-a")
    for number in (1, 6, 12):
        began = time.monotonic()
        folder = other.fetch(number, tmp_path / "elsewhere")
        scores = CrossEncoder(str(folder), max_length=32, local_files_only=True).predict([("sort", "a list")])
        assert len(scores) == 1
        assert time.monotonic() - began < 10
