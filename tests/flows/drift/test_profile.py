"""What is kept of the reference judges as the reference itself does, and nothing else is taken for it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flows.drift import Profile, UnreadableProfileError, judge
from flows.settings import DriftSettings

Traffic = Callable[..., pa.Table]

SETTINGS = DriftSettings(false_alarm_rate=0.05, quiet_windows=100, max_embedded_queries=80, max_scored_rows=300)


def encode(texts: Sequence[str]) -> np.ndarray:
    """Return a made-up embedding: how often each of a few syllables is used."""
    return np.array([[text.count(s) for s in ("ran", "tel", "vis", "ten", "arr", "fra")] for text in texts], float)


def score(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
    """Return the words in common."""
    return np.array([len({*q.split()} & {*d.split()}) for q, d in zip(queries, documents, strict=True)], float)


@pytest.fixture(scope="module")
def reference(traffic: Traffic) -> pa.Table:
    table = traffic(300, seed=1, days=42)
    newest = pa.array(["test" if row >= 0.6 * table.num_rows else "train" for row in range(table.num_rows)])
    return table.append_column("split", newest)


@pytest.fixture(scope="module")
def profile(reference: pa.Table) -> Profile:
    return Profile.fit(reference, SETTINGS, encode, score)


def test_it_is_kept_and_read_again(profile: Profile, traffic: Traffic, tmp_path: Path) -> None:
    profile.save(tmp_path / "deep" / "profile.npz")
    again = Profile.load(tmp_path / "deep" / "profile.npz")
    for topics in (None, {"arrays": 0.2, "tensors": 0.8}):
        week = traffic(60, seed=2, day=42, topics=topics)
        expected = judge(profile, week, SETTINGS, encode, score)
        assert {channel.name for channel in expected.channels if channel.measures} >= {
            "query meaning",
            "champion's score",
        }
        assert judge(again, week, SETTINGS, encode, score) == expected


def test_no_text_is_kept(profile: Profile, reference: pa.Table, tmp_path: Path) -> None:
    profile.save(tmp_path / "profile.npz")
    with np.load(tmp_path / "profile.npz") as stored:
        kept = "\n".join(" ".join(map(str, stored[name].ravel())) for name in stored.files)
    assert "arrays" in kept  # a source
    for column in ("query", "document"):
        assert not any(text in kept for text in reference[column].to_pylist())


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut off"])
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "profile.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableProfileError, match=r"profile\.npz"):
        Profile.load(path)


def test_a_cut_off_profile_is_refused(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.npz"
    profile.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableProfileError):
        Profile.load(path)


def test_samples_are_as_large_as_the_settings_say(profile: Profile) -> None:
    queries = {channel.name: channel.queries for channel in profile.channels}
    assert queries["query length"] == 300
    assert queries["query meaning"] == queries["document meaning"] == 80
    assert queries["champion's score"] == 50  # 300 rows of the test split, which has 120 queries
    assert queries["query text"] < 300  # the rest is what it was fitted on


def test_a_changed_meaning_and_other_scores_are_found(profile: Profile, traffic: Traffic) -> None:
    week = traffic(120, seed=4, day=42)
    moved = judge(profile, week, SETTINGS, lambda texts: encode(texts) + 2.0, lambda q, d: score(q, d) - 1)
    drifted = {channel.name for channel in moved.channels if channel.drifted}
    assert drifted == {"query meaning", "document meaning", "champion's score"}


def test_an_encoder_of_another_width_leaves_the_meaning_out(profile: Profile, traffic: Traffic) -> None:
    report = judge(profile, traffic(60, seed=4, day=42), SETTINGS, lambda texts: np.ones((len(texts), 3)), score)
    left_out = {channel.name for channel in report.channels if not channel.measures}
    assert left_out == {"query meaning", "document meaning"}


def test_a_champion_that_is_surer_of_what_it_was_trained_on_is_no_drift(reference: pa.Table) -> None:
    """The newest window after a training is for the most part what the champion was trained on."""
    trained = set(reference.filter(pc.equal(reference["split"], "train"))["query"].to_pylist())

    def surer(queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        return score(queries, documents) + np.array([9.0 * (query in trained) for query in queries])

    window = reference.slice(reference.num_rows // 3).drop_columns(["split"])
    report = judge(Profile.fit(reference, SETTINGS, None, surer), window, SETTINGS, None, surer)
    judged = {channel.name: channel for channel in report.channels}["champion's score"]
    assert judged.measures
    assert not judged.drifted
