"""The listwise loss against its formula, on a real tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.training.losses import ListwiseLoss
from flows.training.model import open_model
from tests.flows.training.conftest import COLOURS, THINGS

WORDS = [*COLOURS, *THINGS]
DOCUMENT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
LISTS = st.lists(
    st.tuples(
        st.sampled_from(WORDS), st.lists(st.tuples(DOCUMENT, st.integers(0, 3)), min_size=1, max_size=12)
    ).filter(lambda one: any(gain for _, gain in one[1])),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def loss(base_model: Path) -> ListwiseLoss:
    return ListwiseLoss(open_model(base_model, 32).eval())


def of(loss: ListwiseLoss, lists: list[tuple[str, list[tuple[str, int]]]]) -> float:
    inputs = ([query for query, _ in lists], [[text for text, _ in documents] for _, documents in lists])
    with torch.no_grad():
        return float(loss(inputs, [torch.tensor([float(gain) for _, gain in documents]) for _, documents in lists]))


def by_formula(loss: ListwiseLoss, lists: list[tuple[str, list[tuple[str, int]]]]) -> float:
    found = []
    for query, documents in lists:
        scores = loss.model.predict([(query, text) for text, _ in documents], activation_fn=torch.nn.Identity())
        gains = np.array([gain for _, gain in documents], float)
        found.append(-(gains / gains.sum() * (scores - np.logaddexp.reduce(scores.astype(float)))).sum())
    return float(np.mean(found))


@settings(max_examples=25, deadline=None)
@given(LISTS)
def test_each_target_is_its_share_of_the_gain(
    loss: ListwiseLoss, lists: list[tuple[str, list[tuple[str, int]]]]
) -> None:
    assert of(loss, lists) == pytest.approx(by_formula(loss, lists), abs=1e-4)
