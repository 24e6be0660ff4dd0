"""The files that an evaluation leaves behind."""

import hashlib
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import matplotlib.image
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_1samp

from flows.evaluation import METRICS, EvaluationError, EvaluationReport, evaluate, per_query_metrics, write_report
from flows.evaluation.lineup import Lineup

SNAPSHOT = "5e" * 32


@pytest.fixture(scope="module")
def table(make_split):
    whole = make_split(99)
    return make_split(
        99,
        sources=("docs", "forum", "mail"),
        relevant=lambda q, d: 0 if q == 50 else whole["relevance"][q * 6 + d].as_py(),  # one query is left out
    )


@pytest.fixture(scope="module")
def judged(table, seeing):
    noise = {"version 4": 0.4, "version 3": 0.6, "bi-encoder": 1.0, "bm25": 2.0}
    return {name: evaluate(table, seeing(name, table, blur, seed)) for seed, (name, blur) in enumerate(noise.items())}


@pytest.fixture(scope="module")
def written(table, judged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "new"
    challenger, *others = judged.values()
    return {
        file.name: file for file in write_report(folder, challenger, others, others[-1], table, snapshot=SNAPSHOT)
    }


@pytest.fixture(scope="module")
def report(written):
    return EvaluationReport.model_validate_json(written["metrics.json"].read_text("utf-8"))


def test_all_files_are_there_and_no_other(written):
    expected = {"metrics.json", "predictions.parquet", "failed_cases.csv", "metrics.png", "slices.png"}
    assert set(written) == expected | {"differences.png"}
    folder = written["metrics.json"].parent
    assert sorted(folder.iterdir()) == sorted(written.values())


def test_the_numbers_are_those_of_the_evaluations(report, judged):
    assert report.snapshot == SNAPSHOT
    assert (report.challenger, report.incumbent, report.retriever) == ("version 4", "version 3", "bm25")
    assert report.scorers == tuple(judged)
    assert report.counts.model_dump() == {"queries": 98, "left_out": 1, "pairs": 594, "relevant": 98 + 33}
    for name, evaluation in judged.items():
        assert report.overall[name].metrics == evaluation.summary.metrics
        assert report.overall[name].accuracy.first == pytest.approx(evaluation.summary.metrics["precision@1"])
    assert set(report.improvement) == set(judged) - {"bm25"}
    gain = report.improvement["version 4"]["ndcg@10"]
    assert gain.gain == pytest.approx(
        judged["version 4"].summary.metrics["ndcg@10"] - judged["bm25"].summary.metrics["ndcg@10"]
    )
    assert gain.better + gain.worse + gain.alike == 98


def test_each_kind_of_slice_makes_up_the_whole(report):
    kinds = {found.slice for found in report.slices}
    assert kinds == {"source", "query length", "document length", "age"}
    for kind in kinds:
        of_kind = [found for found in report.slices if found.slice == kind]
        weights = [found.queries for found in of_kind]
        assert sum(weights) == 98
        for scorer in report.scorers:
            for metric in METRICS:
                mean = np.average([found.metrics[scorer][metric] for found in of_kind], weights=weights)
                assert mean == pytest.approx(report.overall[scorer].metrics[metric])
    lengths = [found.bucket for found in report.slices if found.slice == "query length"]
    assert [name.split(":")[0] for name in lengths] == ["short", "medium", "long"]


def test_a_slices_interval_is_students(report, judged, table):
    found = next(found for found in report.slices if found.bucket == "forum")
    forum = set(table.filter(np.array(table["source"]) == "forum")["query_id"].to_pylist())
    difference = judged["version 4"].per_query["ndcg@10"] - judged["version 3"].per_query["ndcg@10"]
    mine = difference[difference.index.isin(forum)]
    expected = ttest_1samp(mine, 0).confidence_interval(0.95)
    assert found.queries == len(mine)
    assert found.difference.mean == pytest.approx(mine.mean())
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high))


def test_predictions_hold_every_candidate_and_no_text(written, judged, table):
    found = pq.read_table(written["predictions.parquet"])
    scorers = [f"{name} {what}" for name in judged for what in ("score", "rank")]
    assert found.column_names == ["query_id", "document_id", "relevance", "grade", *scorers]
    assert found.num_rows == table.num_rows
    rows = found.to_pandas()
    for name in judged:
        ordered = rows.sort_values(["query_id", f"{name} rank"])
        assert (ordered.groupby("query_id")[f"{name} rank"].diff().dropna() == 1).all()
        assert (ordered.groupby("query_id")[f"{name} score"].diff().dropna() <= 0).all()
    assert rows.equals(rows.sort_values(["query_id", "version 4 rank"], ignore_index=True))


def test_predictions_are_enough_to_judge_again(written, judged):
    rows = pq.read_table(written["predictions.parquet"]).to_pandas().astype({"grade": "Int8"})
    for name, evaluation in judged.items():
        again = per_query_metrics(rows.rename(columns={f"{name} score": "score"}))
        pd.testing.assert_frame_equal(again, evaluation.per_query)


def test_scorers_may_have_seen_the_rows_in_another_order(table, judged, seeing):
    turned = evaluate(table.take(list(range(table.num_rows))[::-1]), seeing("bm25", table, 2.0, 3))
    challenger, bm25 = judged["version 4"], judged["bm25"]
    expected = Lineup.of(challenger, [], bm25).predictions()
    assert Lineup.of(challenger, [], turned).predictions().equals(expected)


def test_pictures_show_something(written):
    for name in ("metrics.png", "slices.png", "differences.png"):
        pixels = matplotlib.image.imread(written[name])
        height, width, _ = pixels.shape
        assert min(height, width) > 300
        dark = (pixels[..., :3] < 0.9).any(axis=-1)
        assert 0.01 < dark.mean() < 0.5, f"{name} is nearly empty, or dark"
        assert (pixels[0, :, :3] == 1).all(), "the edge is white"


def digests(files):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_same_again_gives_the_same_files(written, judged, table):
    before = digests(written.values())
    challenger, *others = judged.values()
    files = write_report(written["metrics.json"].parent, challenger, others, others[-1], table, snapshot=SNAPSHOT)
    assert digests(files) == before


def test_without_others_the_retriever_is_the_incumbent(judged, table, tmp_path):
    file, *_ = write_report(tmp_path, judged["version 4"], [], judged["bm25"], table, snapshot=SNAPSHOT)
    report = EvaluationReport.model_validate_json(file.read_text("utf-8"))
    assert (report.incumbent, report.scorers) == ("bm25", ("version 4", "bm25"))


def test_odd_names_break_nothing(judged, table, make_split, seeing, tmp_path):
    sources = ("a$b$\\frac{", "=cmd\n" + "x" * 200)
    strange = make_split(60, sources=sources)
    names = ("$\\frac{$ & <b>" + "y" * 90, "_^{$")
    first, second = (
        replace(evaluate(strange, seeing("s", strange, 1, seed)), scorer=name) for seed, name in enumerate(names)
    )
    files = write_report(tmp_path, first, [], second, strange, snapshot=SNAPSHOT)
    report = EvaluationReport.model_validate_json(files[0].read_text("utf-8"))
    assert report.scorers == names
    assert {found.bucket for found in report.slices if found.slice == "source"} == set(sources)


def test_one_query_of_one_day(make_split, seeing, tmp_path):
    table = make_split(1, candidates=2)
    only = evaluate(table, seeing("model", table, 0, 0))
    files = write_report(tmp_path, only, [], replace(only, scorer="bm25"), table, snapshot=SNAPSHOT)
    report = EvaluationReport.model_validate_json(files[0].read_text("utf-8"))
    assert [(found.queries, found.difference.mean) for found in report.slices] == [(1, 0.0)] * 4
    assert {found.difference.low for found in report.slices} == {None}


def test_two_of_one_name_are_refused(judged, table, tmp_path):
    challenger, bm25 = judged["version 4"], judged["bm25"]
    with pytest.raises(EvaluationError, match="Several scorers are called version 4"):
        write_report(tmp_path, challenger, [replace(bm25, scorer="version 4")], bm25, table, snapshot=SNAPSHOT)


def test_scorers_of_other_lists_are_refused(judged, table, seeing, make_split, tmp_path):
    challenger = judged["version 4"]
    fewer = evaluate(table.slice(6), seeing("bm25", table, 1, 0))
    with pytest.raises(EvaluationError, match="bm25 and version 4 were judged on different queries: 1 "):
        write_report(tmp_path, challenger, [], fewer, table, snapshot=SNAPSHOT)
    shorter = evaluate(table.slice(0, table.num_rows - 1), seeing("bm25", table, 1, 0))
    with pytest.raises(EvaluationError, match="bm25 and version 4 were given different candidates"):
        write_report(tmp_path, challenger, [], shorter, table, snapshot=SNAPSHOT)
    with pytest.raises(EvaluationError, match="1 judged queries are not in the table"):
        write_report(tmp_path, challenger, [], judged["bm25"], table.slice(6), snapshot=SNAPSHOT)
    assert list(tmp_path.iterdir()) == [], "nothing is written before everything is known to fit"


@pytest.mark.slow
def test_ten_thousand_queries_in_seconds(make_split, seeing, tmp_path):
    table = make_split(10_000, candidates=10, first=datetime(2000, 1, 1, tzinfo=UTC), apart=timedelta(hours=7))
    judged = [evaluate(table, seeing(name, table, noise, noise)) for noise, name in enumerate("abcd", 1)]
    before = time.process_time()
    write_report(tmp_path, judged[0], judged[1:], judged[-1], table, snapshot=SNAPSHOT)
    assert time.process_time() - before < 15


def test_the_report_names_no_path(written):
    assert not re.search(r"[\"' ]/\w+/", written["metrics.json"].read_text("utf-8"))
