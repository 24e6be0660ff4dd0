from collections.abc import Mapping
from typing import Any

import pytest

from flows.contracts.outcome import Outcome
from flows.notice import Notice, Side, Step, headline, to_markdown

OUTCOME: Mapping[str, Any] = {
    "cause": "growth",
    "detected_at": None,
    "snapshot": "ab" * 32,
    "drift": "green",
    "challenger": 4,
    "verdict": "reject",
    "champion": 3,
    "service": None,
    "seconds_to_live": None,
}
METRICS = {"before": {"ndcg@10": 0.5, "recall@5": 0.9}, "after": {"ndcg@10": 0.501, "recall@5": 0.8}}
CHAMPION, CHALLENGER = Side(version=3, page="http://mlflow/3"), Side(version=4, page=None)


def notice(**changes: Any) -> Notice:
    known: dict[str, Any] = {
        "run": "lifecycle-because-of-growth",
        "state": "Completed",
        "failure": None,
        "page": "http://prefect/runs/1",
        "outcome": Outcome(**OUTCOME, **METRICS),
        "champion": CHAMPION,
        "challenger": CHALLENGER,
        "seconds": 4_000,
        "steps": [
            Step(name="train", state="Completed", seconds=3_600.4),
            Step(name="promote", state="Completed", seconds=9),
        ],
    }
    return Notice(**known | changes)


def test_who_reads_one_line_knows_what_happened() -> None:
    assert headline(notice()) == (
        "Reranker: reject for version 4, NDCG@10 0.500 -> 0.501; the champion is version 3 "
        "(lifecycle-because-of-growth)"
    )
    crashed = notice(state="Crashed", outcome=None, challenger=None)
    assert headline(crashed) == "Reranker: lifecycle-because-of-growth ended as Crashed; the champion is version 3"


def test_the_page_says_where_things_are_and_what_they_took() -> None:
    page = to_markdown(notice())
    for said in (
        "| ndcg@10 | 0.5000 | 0.5010 |",
        "- champion: version 3, http://mlflow/3",
        "- challenger: version 4",
        "- run: lifecycle-because-of-growth, http://prefect/runs/1",
        "It took 1:06:40, 1:00:09 of them at work",
        "train 1:00:00, promote 9 s",
    ):
        assert said in page, said
    assert "recall" not in page


def test_where_nothing_was_judged_there_are_no_metrics() -> None:
    settled = notice(outcome=Outcome(**OUTCOME | {"verdict": "champion already"}), challenger=CHAMPION)
    assert "metric" not in to_markdown(settled)
    assert "challenger:" not in to_markdown(settled)
    assert "champion already for version 4; the champion" in headline(settled)


@pytest.mark.parametrize(
    ("states", "where"), [(("Completed", "Failed"), " in promote"), (("Completed", "Completed"), "")]
)
def test_a_failure_is_named_with_its_step(states: tuple[str, str], where: str) -> None:
    steps = [
        Step(name=name, state=state, seconds=1) for name, state in zip(("train", "promote"), states, strict=True)
    ]
    failed = notice(state="Failed", failure="GateError", outcome=None, steps=steps)
    assert f"It ended with GateError{where}." in to_markdown(failed)
    assert "ended as Failed (GateError)" in headline(failed)


def test_of_a_run_that_never_began_little_is_known() -> None:
    page = to_markdown(notice(state="Cancelled", outcome=None, champion=None, challenger=None, steps=[], seconds=0))
    assert "the champion is not known" in page
    assert "It took 0 s, 0 s of them at work" in page
