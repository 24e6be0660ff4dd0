"""Whether answers are right: a server that is fast and wrong must not win."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from tests.benchmarks.serving.load import Outcome
from tests.benchmarks.serving.texts import Request

Scores = npt.NDArray[np.float64]

CHECKED = 10
"""Answers of each window whose scores are compared."""


@dataclass(frozen=True)
class Reference:
    """What a system must answer, and how nearly."""

    scores: Callable[[Sequence[tuple[str, str]]], Scores]
    """Each pair on its own."""
    tolerance: float = 0.01
    """Of a score, 0..1."""
    correlation: float = 0.999
    """Of the logits, at least."""


class WrongAnswers(Exception):
    """A system answered something else than it was asked."""


def check(name: str, requests: Sequence[Request], outcomes: Sequence[Outcome], reference: Reference) -> None:
    """Raise WrongAnswers unless every answer is a 200 with a score for each document, and a sample scores right."""
    refused = [outcome for outcome in outcomes if outcome.reply.status != 200]
    if refused:
        status, _, body = refused[0].reply
        raise WrongAnswers(
            f"{name}: {len(refused)} of {len(outcomes)} answers failed, as with {status} {body[:300]!r}"
        )
    answered = [scores_of(outcome.reply.body) for outcome in outcomes]
    for outcome, scores in zip(outcomes, answered, strict=True):
        expected = len(requests[outcome.request].documents)
        if len(scores) != expected or not np.isfinite(scores).all():
            raise WrongAnswers(f"{name}: {expected} documents, but the answer is {outcome.reply.body[:300]!r}")
    chosen = random.Random(0).sample(range(len(outcomes)), min(CHECKED, len(outcomes)))
    given = np.concatenate([answered[place] for place in chosen])
    right = np.concatenate([reference.scores(requests[outcomes[place].request].pairs) for place in chosen])
    difference = float(np.abs(given - right).max())
    likeness = float(np.corrcoef(_logits(given), _logits(right))[0, 1])
    if not (difference <= reference.tolerance and likeness >= reference.correlation):
        raise WrongAnswers(f"{name}: scores differ by up to {difference:.3f} and correlate by {likeness:.3f}")


def scores_of(body: bytes) -> Scores:
    """Return the scores of an answer in the order of the documents."""
    results = json.loads(body)["results"]
    scores = np.full(len(results), np.nan)
    for result in results:
        scores[result["index"]] = result["relevance_score"]
    return scores


def infinity_torch(fp32: Path, tokenizer: Path) -> Reference:
    """Return what the trained model scores."""
    return Reference(_onnx(fp32, tokenizer, type_ids=True))


def infinity_int8(int8: Path, tokenizer: Path) -> Reference:
    """Return what Infinity 0.0.78 makes of an int8 file: it does the same work, and its scores are not the model's.

    Its optimum engine feeds zeros as token types. And dynamic int8 scales activations by all that is in a batch, so
    that scores move with their neighbours, which no two runs have in common.
    """
    return Reference(_onnx(int8, tokenizer, type_ids=False), tolerance=0.15, correlation=0.9)


def _onnx(model: Path, tokenizer: Path, *, type_ids: bool) -> Callable[[Sequence[tuple[str, str]]], Scores]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tokens = Tokenizer.from_file(str(tokenizer))
    tokens.no_padding()

    def score(pairs: Sequence[tuple[str, str]]) -> Scores:
        logits = []
        for encoding in tokens.encode_batch(list(pairs)):
            ids = np.array([encoding.ids], dtype=np.int64)
            types = np.array([encoding.type_ids], dtype=np.int64) * int(type_ids)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
            logits.append(session.run(["logits"], feed)[0][0, 0])
        return np.asarray(1 / (1 + np.exp(-np.array(logits, dtype=np.float64))))

    return score


def _logits(scores: Scores) -> Scores:
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(clipped / (1 - clipped)))
