"""The draws are what they are said to be."""

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.gate import draws, judges, report, simulation
from tests.benchmarks.gate.runs import Runs, read

QUERIES = 400


def made(effect: float = 0.0, seeds: int = 4) -> Runs:
    """Seeds around one ranker, whose true means differ by `effect`; the other ranker lies 0.3 below."""
    rng = np.random.default_rng(1)
    names = pd.Index([f"q{i}" for i in range(QUERIES)], name="query_id")
    quality = rng.uniform(0.4, 0.8, QUERIES)

    def frame(shift: float) -> pd.DataFrame:
        values = np.clip(quality + shift + rng.normal(0, 0.1, QUERIES), 0, 1)
        return pd.DataFrame(dict.fromkeys(("ndcg@10", "mrr@10", "map@10"), values), index=names)

    shifts = rng.normal(0, effect, seeds) if effect else np.zeros(seeds)
    return Runs("made up", tuple(frame(shift) for shift in shifts), frame(-0.3))


@pytest.mark.parametrize("gain", [0.0, 0.03, 0.05])
def test_a_true_gain_is_of_the_size_that_was_asked_for(gain):
    runs, rng = made(), np.random.default_rng(2)
    everywhere = np.ones(QUERIES, dtype=bool)
    for _ in range(20):
        sides = draws._apart(runs.seeds[0], runs.seeds[1], runs.other, gain, everywhere, rng)
        assert (sides[0] - sides[1])["ndcg@10"].mean() == pytest.approx(gain, abs=1 / QUERIES)
    found = [
        (draw.challenger.per_query - draw.incumbent.per_query)["ndcg@10"].mean()
        for draw in (draws.better(runs, gain, 2_000, rng) for _ in range(40))
    ]
    assert np.mean(found) == pytest.approx(gain, abs=0.004)


def test_a_harmful_challenger_falls_in_one_slice_and_gains_in_all():
    runs, rng = made(), np.random.default_rng(3)
    inside, everywhere = [], []
    for _ in range(40):
        draw = draws.harmful(runs, 0.03, 0.1, 2_000, rng)
        difference = (draw.challenger.per_query - draw.incumbent.per_query)["ndcg@10"]
        inside.append(difference[draw.slices["column 0"] == "0"].mean())
        everywhere.append(difference.mean())
    assert np.mean(inside) == pytest.approx(-0.1, abs=0.01)
    assert np.mean(everywhere) == pytest.approx(0.03, abs=0.005)


def test_equal_draws_take_each_query_once():
    draw = draws.equal(made(), QUERIES, np.random.default_rng(4))
    assert draw.pair[0] != draw.pair[1]
    assert sorted(draw.incumbent.per_query["ndcg@10"]) == sorted(made().seeds[draw.pair[1]]["ndcg@10"])


def test_the_champion_of_a_retraining_was_chosen_on_queries_that_do_not_judge():
    draw = draws.retrained_champion(made(), 200, np.random.default_rng(5))
    assert len(draw.incumbent.per_query) == 200
    assert not draw.incumbent.per_query.duplicated().any()


def test_a_gain_that_the_other_ranker_cannot_make_is_refused():
    with pytest.raises(ValueError, match="more than the other ranker can make"):
        draws.better(made(), 0.5, 100, np.random.default_rng(6))


@pytest.mark.parametrize("effect", [0.0, 0.02])
def test_the_deviation_of_the_seeds_is_told_from_that_of_the_queries(effect):
    assert report.seed_deviation(made(effect, seeds=40)) == pytest.approx(effect, abs=0.004)


def test_a_cell_is_the_same_again_and_the_gate_is_stricter_than_its_threshold():
    task = simulation.Task("made up", "better", 100, 0.02, 0.0, 15, 7)
    cells = {cell.gate: cell.rate for cell in simulation.run(task, made())}
    assert cells[judges.GATE].count <= cells["gain >= 0.01 alone"].count
    assert {cell.gate: cell.rate for cell in simulation.run(task, made())} == cells


def test_runs_are_read_by_data_set_recipe_and_seed(tmp_path):
    runs = made()
    for seed, frame in enumerate(runs.seeds):
        frame.to_parquet(tmp_path / f"faq-cross-encoder-{seed}.parquet")
    runs.other.to_parquet(tmp_path / "faq-bm25-0.parquet")
    (found,) = read(tmp_path)
    assert (found.dataset, len(found.seeds)) == ("faq cross-encoder", 4)
    pd.testing.assert_frame_equal(found.other, runs.other.sort_index())


def test_promises_are_about_equal_recipes_and_the_gain_that_the_gate_must_see():
    cells = [
        cell
        for task in (
            simulation.Task("made up", "equal", 100, 0.0, 0.0, 10, 1),
            simulation.Task("made up", "asked", 0, 0.03, 0.0, 10, 2),
        )
        for cell in simulation.run(task, made())
    ]
    lines = report.promises(cells)
    assert len(lines) == 2
    assert all(line.held for line in lines)
