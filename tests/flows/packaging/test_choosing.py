"""Candidate engines on real pairs: built, judged, and only the chosen one's files kept."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bento.model.model import Model
from flows.contracts.snapshot import SNAPSHOT_SCHEMA, Snapshot
from flows.packaging import ExportDiffers, ExportedModel, export
from flows.settings import PackagingSettings
from tests.bento.tiny_model import WORDS, trained, version

QUERIES = 60
CANDIDATES = 5


def snapshot(folder: Path, queries: int) -> Snapshot:
    """Random word salads; `queries` on each side of the split."""
    rng = np.random.default_rng(3)
    rows = []
    for split in ("train", "test"):
        for query in range(queries):
            text = " ".join(rng.choice(WORDS, 5))
            rows += [
                {
                    "query_id": f"{split}{query}",
                    "document_id": f"d{candidate}",
                    "query": text,
                    "document": " ".join(rng.choice(WORDS, int(rng.integers(3, 30)))),
                    "relevance": int(candidate == 0),
                    "source": "test",
                    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
                    "split": split,
                }
                for candidate in range(CANDIDATES)
            ]
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({}), "utf-8")
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=SNAPSHOT_SCHEMA), folder / "pairs.parquet")
    return Snapshot(folder)


def verdicts(model: ExportedModel) -> dict[str, str]:
    return {measurement.engine: measurement.verdict for measurement in model.manifest.measurements}


@pytest.mark.slow
def test_the_fastest_fit_engine_of_four_travels_alone(tmp_path: Path) -> None:
    settings = PackagingSettings(
        engines=("openvino-int8", "onnxruntime-int8", "openvino-fp32", "onnxruntime-fp32"),
        calibration_pairs=20,
        measuring_seconds=0.1,
        max_ndcg_difference=1,
    )
    model = export(trained(), tmp_path / "export", version(1), settings, snapshot(tmp_path / "pairs", QUERIES))
    chosen = model.manifest.engine
    assert set(verdicts(model)) == set(settings.engines)
    assert [name for name, verdict in verdicts(model).items() if verdict == "chosen"] == [chosen.name]
    speeds = {
        m.engine: (m.long_pairs_per_second or 0.0) * (m.short_pairs_per_second or 0.0)
        for m in model.manifest.measurements
    }
    assert max(speeds, key=lambda name: speeds[name]) == chosen.name
    fp32 = [m for m in model.manifest.measurements if m.engine.endswith("fp32")]
    assert all(m.score_difference is not None and m.score_difference <= 1e-4 for m in fp32)
    for m in model.manifest.measurements:  # the slower ones need not be judged; the reference always is
        if m.verdict == f"slower than {chosen.name}" and m.engine != "onnxruntime-fp32":
            assert m.ndcg is None
        else:
            assert m.ndcg is not None
    networks = {path.stem for path in model.folder.iterdir() if path.suffix in (".onnx", ".xml", ".bin")}
    assert networks == {Path(chosen.file).stem}
    served = Model.open(model.folder, threads=1)
    assert served.digest_matches
    gibberish = served.encode([(WORDS[0], "z " * 40)])[0]
    assert gibberish.unusual, "the detector was fitted on the training pairs and travels along"


def test_int8_is_not_used_where_too_few_queries_can_judge_it(tmp_path: Path) -> None:
    settings = PackagingSettings(engines=("onnxruntime-int8", "onnxruntime-fp32"), measuring_seconds=0.05)
    model = export(trained(), tmp_path / "export", version(1), settings, snapshot(tmp_path / "pairs", 12))
    assert verdicts(model) == {
        "onnxruntime-fp32": "chosen",
        "onnxruntime-int8": "12 test queries cannot judge it, 30 are needed",
    }


def test_int8_that_ranks_otherwise_is_not_used_and_where_nothing_else_is_allowed_nothing_is_packaged(
    tmp_path: Path,
) -> None:
    """No quantised network of random weights ranks exactly as the other does."""
    settings = PackagingSettings(engines=("onnxruntime-int8",), measuring_seconds=0.05, max_ndcg_difference=0)
    pairs = snapshot(tmp_path / "pairs", QUERIES)
    with pytest.raises(
        ExportDiffers, match=r"onnxruntime-int8: NDCG@10 changes by [+-]0\.\d+, more than 0.*not packaged"
    ):
        export(trained(), tmp_path / "export", version(1), settings, pairs)
    assert not (tmp_path / "export").exists()
    fit = settings.model_copy(update={"max_ndcg_difference": 1.0})
    assert export(trained(), tmp_path / "export", version(1), fit, pairs).manifest.engine.precision == "int8"
