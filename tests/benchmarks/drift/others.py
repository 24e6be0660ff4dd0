"""What else people use: fixed thresholds, tests without correction, Evidently's defaults."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.stats import ks_2samp

Floats = npt.NDArray[np.float64]

COSINE = 0.25
PSI = 0.1, 0.25
KS = 0.05
BINS = 10
TEXTS = "query", "document"

COSINE_NAME = f"TF-IDF cosine > {COSINE}"
PSI_NAMES = tuple(f"PSI of lengths > {limit}" for limit in PSI)
KS_NAME = f"KS p < {KS}, uncorrected"
EVIDENTLY_NAMES = ("Evidently, dataset drift", "Evidently, any column")


class FixedThresholds:
    """Thresholds that do not know the window's size, on what they are usually set on."""

    def __init__(self, reference: pa.Table) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._numbers = _once(reference)
        self._vectorizers = {name: TfidfVectorizer() for name in TEXTS}
        self._centroids = {
            name: _mean(vectorizer.fit_transform(reference[name].to_pylist()))
            for name, vectorizer in self._vectorizers.items()
        }

    def alarms(self, window: pa.Table) -> Mapping[str, bool]:
        """Return what each of the methods says; where it looks at several columns, any of them is enough."""
        distances = [
            cosine_distance(self._centroids[name], _mean(vectorizer.transform(window[name].to_pylist())))
            for name, vectorizer in self._vectorizers.items()
        ]
        now = _once(window)
        indices = [psi(self._numbers[f"{name} length"], now[f"{name} length"]) for name in TEXTS]
        p_values = [ks_2samp(self._numbers[name], now[name], method="asymp").pvalue for name in now]
        return {
            COSINE_NAME: max(distances) > COSINE,
            **{name: max(indices) > limit for name, limit in zip(PSI_NAMES, PSI, strict=True)},
            KS_NAME: min(p_values) < KS,
        }


class Evidently:
    """Evidently 0.7's preset for data drift with nothing changed: its choice of tests and of thresholds."""

    def __init__(self, reference: pa.Table) -> None:
        self._reference = self._dataset(reference)

    def alarms(self, window: pa.Table) -> Mapping[str, bool]:
        """Return whether half of the columns drifted (the preset's own rule), and whether one did."""
        from evidently import Report
        from evidently.presets import DataDriftPreset

        result = Report([DataDriftPreset()]).run(self._dataset(window), self._reference).dict()
        drifted = next(m["value"] for m in result["metrics"] if m["metric_name"].startswith("DriftedColumnsCount"))
        return dict(zip(EVIDENTLY_NAMES, (drifted["share"] >= 0.5, drifted["count"] > 0), strict=True))

    def _dataset(self, rows: pa.Table) -> object:
        from evidently import DataDefinition, Dataset

        labels = [name for name in ("source", "relevance") if name in rows.column_names]
        measured = numbers(rows)
        frame = pd.DataFrame({**measured, **{name: rows[name].to_pandas() for name in (*labels, *TEXTS)}})
        definition = DataDefinition(
            numerical_columns=list(measured), categorical_columns=labels, text_columns=list(TEXTS)
        )
        return Dataset.from_pandas(frame, data_definition=definition)


def numbers(rows: pa.Table) -> dict[str, Floats]:
    """Return characters and words of each row's query and document."""
    texts = {name: rows[name].to_pylist() for name in TEXTS}
    return {
        **{f"{name} length": np.array([len(t) for t in column], float) for name, column in texts.items()},
        **{f"{name} words": np.array([len(t.split()) for t in column], float) for name, column in texts.items()},
    }


def _once(rows: pa.Table) -> dict[str, Floats]:
    """Return the same, but of each query once: its rows repeat it, and no test expects that."""
    first = np.unique(rows["query_id"].to_numpy(zero_copy_only=False), return_index=True)[1]
    return {name: values[first] if name.startswith("query") else values for name, values in numbers(rows).items()}


def psi(reference: Floats, current: Floats) -> float:
    """Return the population stability index over tenths of the reference; an empty bin counts as half a row."""
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = []
    for side in (reference, current):
        counts = np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1)
        shares.append(np.maximum(counts, 0.5) / len(side))
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def cosine_distance(left: Floats, right: Floats) -> float:
    """Return 1 - cosine; 1 where one side has no known word."""
    lengths = np.linalg.norm(left) * np.linalg.norm(right)
    return float(1 - left @ right / lengths) if lengths else 1.0


def _mean(vectors: object) -> Floats:
    return np.asarray(vectors.mean(axis=0)).ravel()  # type: ignore[attr-defined]
