"""The curve of quality against latency, on which a team chooses its reranker."""

from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from flows.evaluation.evaluation import Evaluation
from flows.evaluation.metrics import METRICS

_RESAMPLES = 2_000
_MARKERS = "osD^vP*X"


class Point(BaseModel):
    """A ranker on the curve."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    """As shown: "teacher (6 layers)", "student (3 layers)", "champion v3", "bm25", ..."""
    ndcg: float
    """Mean NDCG@10 over the queries."""
    low: float
    """Of a 95 % interval of that mean. Those of two rankers overlap long before they are equal: the gate pairs."""
    high: float
    latency_ms: float
    """95th percentile over lists of usual size."""
    bytes: int | None = None
    """Of the model on disk; None for a ranker without."""

    @classmethod
    def of(cls, evaluation: Evaluation, latency_ms: float, size: int | None = None) -> Self:
        """Return the point of a ranker that was judged, of so many bytes on disk."""
        low, high = interval(evaluation.per_query)
        return cls(
            name=evaluation.scorer,
            ndcg=evaluation.summary.metrics[METRICS[0]],
            low=low,
            high=high,
            latency_ms=latency_ms,
            bytes=size,
        )


class Curve(BaseModel):
    """Rankers of one snapshot, measured side by side; written as `quality_latency.json` and drawn beside it."""

    model_config = ConfigDict(frozen=True)

    snapshot: str
    queries: int
    """Of the test split, which the quality is the mean over."""
    measured: str
    """How the latency was measured: engine, threads, lists."""
    points: tuple[Point, ...]

    @property
    def frontier(self) -> tuple[Point, ...]:
        """The points that no other is both as fast and as good as, fastest first."""
        best: list[Point] = []
        for point in sorted(self.points, key=lambda point: (point.latency_ms, -point.ndcg)):
            if not best or point.ndcg > best[-1].ndcg:
                best.append(point)
        return tuple(best)

    def table(self) -> str:
        """Return the points as a Markdown table, fastest first; those on the frontier in bold."""
        lines = [
            "| ranked by | NDCG@10 | 95 % interval | p95 of a list, ms | on disk, MB |",
            "|---|---:|---:|---:|---:|",
        ]
        for point in sorted(self.points, key=lambda point: point.latency_ms):
            name = f"**{point.name}**" if point in self.frontier else point.name
            size = "" if point.bytes is None else f"{point.bytes / 1e6:.1f}"
            spread = f"{point.low:.4f} to {point.high:.4f}"
            lines.append(f"| {name} | {point.ndcg:.4f} | {spread} | {point.latency_ms:.2f} | {size} |")
        return "\n".join(lines)

    def write(self, folder: Path) -> list[Path]:
        """Write `quality_latency.json` and `quality_latency.png` to `folder`; return both."""
        folder.mkdir(parents=True, exist_ok=True)
        numbers, picture = folder / "quality_latency.json", folder / "quality_latency.png"
        numbers.write_text(self.model_dump_json(indent=2), "utf-8")
        self._draw(picture)
        return [numbers, picture]

    def _draw(self, file: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, NullFormatter

        figure = Figure(figsize=(11, 5.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        by_latency = sorted(self.points, key=lambda point: point.latency_ms)
        for place, point in enumerate(by_latency):
            spread = [[max(0.0, point.ndcg - point.low)], [max(0.0, point.high - point.ndcg)]]
            size = "" if point.bytes is None else f", {point.bytes / 1e6:.0f} MB"
            axes.errorbar(
                point.latency_ms,
                point.ndcg,
                yerr=spread,
                fmt=_MARKERS[place % len(_MARKERS)],
                capsize=3,
                elinewidth=0.8,
                markersize=8,
                label=f"{point.name}\n{point.ndcg:.3f} in {point.latency_ms:.1f} ms{size}",
            )
        axes.plot(
            [point.latency_ms for point in self.frontier] + [by_latency[-1].latency_ms],
            [point.ndcg for point in self.frontier] + [self.frontier[-1].ndcg],
            color="gray",
            linestyle=":",
            drawstyle="steps-post",
            zorder=0,
            label="the best within the time",
        )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        if by_latency[-1].latency_ms > 10 * by_latency[0].latency_ms:  # decades alone, where there are some
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel(f"95th percentile over lists of usual size, ms ({self.measured})")
        axes.set_ylabel("NDCG@10 with its 95 % interval")
        axes.set_title(f"Quality and latency on {self.queries} test queries of snapshot {self.snapshot[:12]}")
        axes.grid(alpha=0.3)
        figure.legend(loc="outside right upper", labelspacing=1.0)
        figure.savefig(file, dpi=120)


def interval(per_query: pd.DataFrame, seed: int = 13) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the mean NDCG@10 of `per_query` (see `per_query_metrics`)."""
    values = per_query[METRICS[0]].to_numpy(dtype=np.float64)
    random = np.random.default_rng(seed)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
