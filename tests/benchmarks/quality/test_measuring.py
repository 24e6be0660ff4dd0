"""The benchmark itself: it must split right, count right, and come to an end."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.evaluation import METRICS
from tests.benchmarks.quality import data
from tests.benchmarks.quality.__main__ import main
from tests.benchmarks.quality.report import differences, promises
from tests.benchmarks.quality.trained import Run


def run(ranker: str, seed: int | None, values: list[float], seconds: float | None = None) -> Run:
    index = pd.Index([f"q{i}" for i in range(len(values))], name="query_id")
    return Run("made", ranker, seed, pd.DataFrame(dict.fromkeys(METRICS, values), index), seconds, seconds)


def wikiqa_file(folder: Path) -> Path:
    rows = [
        {
            "query_id": f"{side}{i}",
            "query": f"question {side} {i}",
            "document_id": f"{side}{i}-{j}",
            "document": f"sentence {side} {i} {j}",
            "relevance": int(j == 0) if i else 0,  # the first question of each side has no answer
            "grade": int(j == 0) if i else 0,
            "source": "wikiqa",
            "split": side,
        }
        for side in ("train", "dev", "test")
        for i in range(4)
        for j in range(3)
    ]
    pq.write_table(pa.Table.from_pylist([*rows, rows[-1]]), folder / "wikiqa.parquet")
    return folder / "wikiqa.parquet"


def test_wikiqa_keeps_its_own_split_and_what_can_be_ranked(tmp_path: Path) -> None:
    snapshot = data.wikiqa(wikiqa_file(tmp_path), tmp_path)
    for side, name in (("train", "train"), ("validation", "dev"), ("test", "test")):
        table = snapshot.table(side)  # type: ignore[arg-type]
        assert table.num_rows == 9
        assert set(table["query"].to_pylist()) == {f"question {name} {i}" for i in (1, 2, 3)}
        assert snapshot.manifest.splits[side].positives == 3  # type: ignore[index]


def test_a_gain_beyond_the_noise_is_told_from_one_within() -> None:
    random = np.random.default_rng(0)
    base = random.uniform(0, 0.8, 200)
    runs = [
        run("bm25", None, list(base - 0.1)),
        *(run("plain", seed, list(base), 10) for seed in (1, 2)),
        *(run("recipe", seed, list(base + random.normal(0.05, 0.1, 200)), 9) for seed in (1, 2)),
        *(run("same", seed, list(base + random.normal(0.05, 0.1, 200)), 9) for seed in (1, 2)),
    ]
    found = {each.against: each for each in differences(runs)}
    assert found["plain"].beyond_noise
    assert found["plain"].low < found["plain"].gain < found["plain"].high
    assert found["plain"].gain == pytest.approx(0.05, abs=0.03)
    assert not found["same"].beyond_noise
    assert all(promises(runs, list(found.values())).values())
    slow = [each._replace(seconds=11.0) if each.ranker == "recipe" else each for each in runs]
    held = promises(slow, differences(slow))
    assert [name for name, holds in held.items() if not holds] == ["takes no more time than the plain recipe"]


def test_without_data_it_says_so_loudly(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--json", str(tmp_path / "quality.json")]) == 2
    assert capsys.readouterr().err.count("SKIPPED") == 2
    assert not (tmp_path / "quality.json").exists()
