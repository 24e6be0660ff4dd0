"""What every shape comes down to: put the documents of one query in order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.gateway.exchange import Request
from bento.scoring.scored import ScoredPair
from bento.telemetry.metrics import Metrics


class Scorer(Protocol):
    """Gives pairs their logits; see `bento.scoring`."""

    async def score(
        self, pairs: Sequence[tuple[str, str]], *, deadline: float, max_document_tokens: int | None = None
    ) -> list[ScoredPair]:
        """Return what is known of each pair, in the order given."""
        ...


class Recorder(Protocol):
    """Keeps a sample of what was asked and scored; see `bento.predictions`."""

    def record(self, request_id: str, query: str, documents: Sequence[str], scored: Sequence[ScoredPair]) -> None:
        """Take note, cheaply: this is called in the middle of a request."""
        ...


@dataclass(frozen=True, slots=True)
class RankTask:
    """One query and what to put in order for it."""

    query: str
    documents: Sequence[str]
    top_n: int | None = None
    """How many to return; all by default."""
    max_document_tokens: int | None = None
    """Documents are cut to so many tokens; by default to what the model reads."""
    field: str = "documents"
    """What the client calls them."""


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document's place in the order."""

    index: int
    """Position in the request."""
    logit: float
    score: float
    """0 to 1, the sigmoid of `logit`."""
    tokens: int
    truncated: bool
    unusual: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """The `top_n` best documents, best first, and what is true of all documents of the request."""

    results: list[RankedDocument]
    tokens: int
    """That the model read for this request, special tokens included."""
    documents: int
    truncated: int
    unusual: int


class Limits:
    """How much one request may hold; looked at before anything is tokenised."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._documents = settings.max_documents
        self._characters = settings.max_characters

    def check(self, field: str, entries: int, characters: int) -> None:
        """RefusedError (422) says which setting a request with so much in `field` goes beyond."""
        if entries > self._documents:
            raise RefusedError(
                422,
                "invalid_request",
                f"`{field}` has {entries} entries and at most {self._documents} are taken: "
                "send them in several requests, or raise RERANKER_SERVICE_MAX_DOCUMENTS.",
            )
        if characters > self._characters:
            raise RefusedError(
                422,
                "invalid_request",
                f"The texts have {characters} characters together and at most {self._characters} are taken: "
                "send fewer or shorter ones, or raise RERANKER_SERVICE_MAX_CHARACTERS.",
            )


class Ranker:
    """Scores, sorts, counts and records."""

    def __init__(
        self,
        scorer: Scorer,
        settings: ServiceSettings,
        metrics: Metrics,
        recorder: Recorder | None,
        model_name: str,
        max_length: int,
    ) -> None:
        """`model_name` is what answers call the model; `max_length` is in tokens, of query and document together."""
        self.model_name = model_name
        self.metrics = metrics
        self.limits = Limits(settings)
        self._scorer = scorer
        self._recorder = recorder
        self._max_length = max_length

    async def rank(self, task: RankTask, request: Request) -> Ranking:
        """Return the order, equal scores as in the request; RefusedError where there is none."""
        documents = task.documents
        self.limits.check(task.field, len(documents), len(task.query) + sum(map(len, documents)))
        scored = await self._score(task, request.deadline)
        self.metrics.scored(scored)
        if self._recorder is not None:
            self._recorder.record(request.id, task.query, documents, scored)
        # By logit, since the sigmoid of two large ones is the same number; a reversed sort keeps the order of equals.
        order = sorted(range(len(scored)), key=[pair.logit for pair in scored].__getitem__, reverse=True)
        return Ranking(
            results=[_ranked(index, scored[index]) for index in order[: task.top_n]],
            tokens=sum([pair.tokens for pair in scored]),
            documents=len(scored),
            truncated=sum([pair.truncated for pair in scored]),
            unusual=sum([pair.unusual for pair in scored]),
        )

    async def _score(self, task: RankTask, deadline: float) -> list[ScoredPair]:
        # A cut beyond what the model reads is none, and pairs must not be cached under different names for it.
        cut = task.max_document_tokens
        if cut is not None and cut >= self._max_length:
            cut = None
        # Equal texts are scored once: cheaper, and the padding of their batches cannot make their scores differ.
        distinct = dict.fromkeys(task.documents)
        pairs = [(task.query, document) for document in distinct]
        scored = await self._scorer.score(pairs, deadline=deadline, max_document_tokens=cut)
        if not math.isfinite(sum([pair.logit for pair in scored])):
            raise RefusedError(
                500, "internal_error", "The model gave a score that is no number: report this to the operator."
            )
        if len(distinct) == len(task.documents):
            return scored
        of_text = dict(zip(distinct, scored, strict=True))
        return [of_text[document] for document in task.documents]


def _ranked(index: int, pair: ScoredPair) -> RankedDocument:
    return RankedDocument(index, pair.logit, sigmoid(pair.logit), pair.tokens, pair.truncated, pair.unusual)


def sigmoid(logit: float) -> float:
    """Return 1 / (1 + exp(-logit)), exact to the last bits on both sides of 0, without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    grown = math.exp(logit)
    return grown / (1.0 + grown)
