"""Which engine serves: every allowed one is built, judged and measured, and the fastest that is fit is chosen."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bento.model.manifest import EngineChoice, Measurement
from bento.model.tokenization import PairTokenizer
from bento.processors import available_processors
from flows.contracts.snapshot import Snapshot
from flows.evaluation import Evaluation, EvaluationError, evaluate
from flows.packaging.engines import ENGINES, FP32_ONNX
from flows.packaging.failures import ExportDiffers, QuantisationFailed
from flows.packaging.measuring import Candidate, speeds
from flows.packaging.quantising import convert_openvino, quantise_onnx, quantise_openvino
from flows.packaging.rejudging import Victory
from flows.settings import PackagingSettings

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)

SAMPLE = 200
"""Pairs of the test split whose scores are compared with the trained model's."""

Texts = Sequence[tuple[str, str]]


@dataclass
class _Entry:
    """A candidate and what is known of it."""

    candidate: Candidate
    difference: float
    """The largest from the trained model's scores, of 0..1; NaN where a score is no number."""
    evaluation: Evaluation | None = None
    """On the test split; None where that cannot judge, or nobody had to ask."""
    fault: str = ""
    """Why it is not fit."""

    @property
    def ndcg(self) -> float | None:
        return self.evaluation.summary.metrics["ndcg@10"] if self.evaluation else None


def choose(
    model: "CrossEncoder",
    folder: Path,
    tokenizer: PairTokenizer,
    settings: PackagingSettings,
    snapshot: Snapshot | None,
    check_pairs: Texts,
    progress: Callable[[str], None],
    victory: Victory | None = None,
) -> tuple[EngineChoice, tuple[Measurement, ...]]:
    """Return the engine that is to serve, and how every allowed one did.

    All are built and their speed is measured; then they are judged on the test split from the fastest on, until one
    is fit.

    Args:
        model: The trained model; its scores are right.
        folder: Holds `model.onnx`; the files of the other engines are written there.
        tokenizer: Of the model.
        settings: Which engines may be chosen, and what they must show.
        snapshot: Its training split calibrates, its test split judges.
        check_pairs: Compared beside a sample of the test split.
        progress: Told each step.
        victory: What the model won against on the test split: an engine is fit when it wins there too. Without it,
            nearness to the trained model alone decides.

    Raises:
        ExportDiffers: The ONNX network scores otherwise than the trained model, or no allowed engine is fit.
    """
    test = None if snapshot is None else snapshot.table("test")
    texts = [*check_pairs, *([] if test is None else _texts(test.slice(0, SAMPLE)))]
    progress(f"comparing {len(texts)} scores with the trained model's")
    expected = _expected(model, texts)
    right = _reference(folder, tokenizer, texts, expected, settings)
    right.evaluation = _evaluate(right.candidate, test)
    queries = right.evaluation.summary.queries if right.evaluation else 0
    entries = {right.candidate.name: right}
    missed: dict[str, str] = {}
    for name in settings.engines:
        if name in entries:
            continue
        progress(f"building {name}")
        try:
            candidate = _build(folder, ENGINES[name], tokenizer, queries, snapshot, settings)
        except QuantisationFailed as failure:
            logger.warning("%s", failure)
            missed[name] = str(failure).splitlines()[0].rstrip(".:")
            continue
        entries[name] = _Entry(candidate, _difference(candidate, texts, expected))
    real = _texts(test) if test is not None and test.num_rows else list(check_pairs)
    progress(f"measuring {', '.join(entries)}")
    candidates = [entry.candidate for entry in entries.values()]
    speed = speeds(candidates, tokenizer.encode(real), settings.measuring_seconds, progress)
    fastest = sorted(entries, key=lambda name: speed[name].overall, reverse=True)
    best = _first_fit([entries[name] for name in fastest], right, test, settings, victory, progress)
    if best is None:
        every = {name: entry.fault for name, entry in entries.items()} | missed
        raise ExportDiffers(
            "No allowed engine is fit to serve: "
            + "; ".join(f"{name}: {fault}" for name, fault in every.items())
            + ". It was not packaged."
        )
    progress(f"chosen: {best}")
    measured = [
        Measurement(
            engine=name,
            **asdict(speed[name]),
            score_difference=entry.difference,
            ndcg=entry.ndcg,
            verdict="chosen" if name == best else entry.fault or f"slower than {best}",
        )
        for name, entry in entries.items()
    ]
    return ENGINES[best], (*measured, *(Measurement(engine=name, verdict=fault) for name, fault in missed.items()))


def _reference(
    folder: Path,
    tokenizer: PairTokenizer,
    texts: Texts,
    expected: npt.NDArray[np.float64],
    settings: PackagingSettings,
) -> _Entry:
    """Return the exported network as it is, whose scores must be the trained model's."""
    reference = Candidate(folder, ENGINES["onnxruntime-fp32"], tokenizer, available_processors())
    difference, limit = _difference(reference, texts, expected), settings.max_score_difference
    if not difference <= limit:
        raise ExportDiffers(
            f"The exported model differs by {difference:.2g} from the trained one, and {limit:g} is allowed "
            "(RERANKER_PACKAGING__MAX_SCORE_DIFFERENCE). It was not packaged."
        )
    return _Entry(reference, difference)


def _first_fit(
    entries: Sequence[_Entry],
    right: _Entry,
    test: pa.Table | None,
    settings: PackagingSettings,
    victory: Victory | None,
    progress: Callable[[str], None],
) -> str | None:
    """Judge one after the other until one is fit, and return its name; note at the others why they are not."""
    for entry in entries:
        name = entry.candidate.name
        if name not in settings.engines:
            entry.fault = "RERANKER_PACKAGING__ENGINES leaves it out"
            continue
        progress(f"judging {name}")
        if entry is not right:
            entry.evaluation = _evaluate(entry.candidate, test)
        entry.fault = _fault(entry, right.ndcg, settings) or _lost(entry, victory)
        if not entry.fault:
            return name
    return None


def _expected(model: "CrossEncoder", texts: Texts) -> npt.NDArray[np.float64]:
    import torch

    return np.asarray(
        model.predict(list(texts), activation_fn=torch.nn.Sigmoid(), show_progress_bar=False), dtype=np.float64
    )


def _difference(candidate: Candidate, texts: Texts, expected: npt.NDArray[np.float64]) -> float:
    """Return the largest difference of the candidate's scores; NaN where one is no number."""
    queries, documents = zip(*texts, strict=True)
    return float(np.abs(candidate.score(queries, documents) - expected).max())


def _evaluate(candidate: Candidate, test: pa.Table | None) -> Evaluation | None:
    if test is None:
        return None
    try:
        return evaluate(test, candidate)
    except EvaluationError as failure:
        logger.warning("%s cannot be judged on the test split: %s", candidate.name, failure)
        return None


def _build(
    folder: Path,
    choice: EngineChoice,
    tokenizer: PairTokenizer,
    queries: int,
    snapshot: Snapshot | None,
    settings: PackagingSettings,
) -> Candidate:
    """Write the engine's files; QuantisationFailed where it cannot be made, or `queries` are too few to judge it."""
    source, output = folder / FP32_ONNX, folder / choice.file
    if choice.precision == "fp32":
        convert_openvino(source, output)
    elif queries < settings.min_queries:
        raise QuantisationFailed(f"{queries} test queries cannot judge it, {settings.min_queries} are needed")
    elif choice.library == "onnxruntime":
        quantise_onnx(source, output)
    else:
        training = _texts(snapshot.table("train")) if snapshot is not None else []
        if not training:
            raise QuantisationFailed("The snapshot has no training pairs to set the ranges on.")
        apart = max(1, len(training) // settings.calibration_pairs)
        quantise_openvino(source, output, tokenizer.encode(training[::apart][: settings.calibration_pairs]))
    return Candidate(folder, choice, tokenizer, available_processors())


def _fault(entry: _Entry, right: float | None, settings: PackagingSettings) -> str:
    """Return why the candidate is not fit, or nothing."""
    if entry.candidate.choice.precision == "fp32":
        limit = settings.max_score_difference
        return "" if entry.difference <= limit else f"a score differs by {entry.difference:.2g}, above {limit:g}"
    if right is None or entry.ndcg is None:
        return "it cannot be judged on the test split"
    change, limit = entry.ndcg - right, settings.max_ndcg_difference
    return "" if abs(change) <= limit else f"NDCG@10 changes by {change:+.4f}, more than {limit:g}"


def _lost(entry: _Entry, victory: Victory | None) -> str:
    """Return why the candidate does not win where the trained model won, or nothing."""
    if victory is None:
        return ""
    if entry.evaluation is None:
        return "it cannot be judged on the test split"
    return victory.fault(entry.candidate.name, entry.evaluation.per_query)


def _texts(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["query"].to_pylist(), table["document"].to_pylist(), strict=True))
