"""The export before the gate, on per-query metrics made by hand, and then through a real export."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.evaluation import evaluate
from flows.gate import JUDGED, Contender
from flows.packaging import ExportDiffers, Victory, choosing, export, measuring, victory
from flows.packaging.measuring import Speed
from flows.settings import GateSettings, PackagingSettings
from flows.training import CrossEncoderScorer
from tests.bento.tiny_model import trained, version
from tests.flows.gate.sides import frame, noisy
from tests.flows.packaging.test_choosing import QUERIES, snapshot, verdicts

GATE = GateSettings(resamples=1_000, seed_deviation=0)


def test_an_engine_must_win_where_the_trained_model_won() -> None:
    won = victory(noisy(0.05, 200), frame(0.5, queries=200), GATE, "5" * 64)
    assert won is not None
    assert won.fault("openvino-int8", noisy(0.049, 200)) == ""
    lost = won.fault("openvino-int8", noisy(0.009, 200))
    assert lost.startswith("it does not beat the incumbent as the trained model did")
    assert '"NDCG@10 gains at least 0.01" (+0.0090)' in lost


def test_slices_are_judged_again_too() -> None:
    index = frame(0.5, queries=200).index
    slices = pd.DataFrame({"source": ["a"] * 150 + ["b"] * 50}, index=index)
    won = victory(frame(0.6, queries=200), frame(0.5, queries=200), GATE, "5" * 64, slices)
    assert won is not None
    falling = frame([0.7] * 150 + [0.4] * 50, queries=200)
    assert "no slice" in won.fault("openvino-int8", falling)


def test_a_model_that_did_not_win_has_nothing_to_repeat(caplog: pytest.LogCaptureFixture) -> None:
    assert victory(noisy(0.0, 200), frame(0.5, queries=200), GATE, "5" * 64) is None
    assert "held against the trained model alone" in caplog.text


def test_a_disabled_gate_still_judges_what_ships() -> None:
    won = victory(noisy(0.05, 200), frame(0.5, queries=200), GATE.model_copy(update={"mode": "disabled"}), "5" * 64)
    assert won is not None
    assert won.fault("onnxruntime-int8", noisy(0.0, 200))


def test_the_digest_names_rules_and_incumbent() -> None:
    def digest(incumbent: pd.DataFrame, gate: GateSettings = GATE) -> str:
        won = victory(frame(0.9), incumbent, gate, "5" * 64)
        assert won is not None
        return won.digest()

    assert digest(frame(0.5)) == digest(frame(0.5).iloc[::-1])
    assert digest(frame(0.5)) != digest(frame(0.6))
    assert digest(frame(0.5)) != digest(frame(0.5), GATE.model_copy(update={"min_ndcg_gain": 0.02}))


class Damaging(Victory):
    """Takes a tenth off every metric of an int8 engine before the rules look: random weights lose nothing by int8."""

    def fault(self, engine: str, per_query: pd.DataFrame) -> str:
        return super().fault(engine, per_query - 0.1 * engine.endswith("int8"))


@pytest.mark.slow
def test_an_engine_that_loses_is_passed_over_and_where_all_lose_nothing_is_packaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def int8_first(*arguments: Any) -> dict[str, Speed]:
        """Which is faster, on so small a model, is the moment's choice; the faster one is judged first."""
        found = measuring.speeds(*arguments)
        return {
            name: replace(speed, long_pairs_per_second=1e12 if name.endswith("int8") else 1.0)
            for name, speed in found.items()
        }

    monkeypatch.setattr(choosing, "speeds", int8_first)
    settings = PackagingSettings(
        engines=("onnxruntime-int8", "onnxruntime-fp32"), measuring_seconds=0.05, max_ndcg_difference=1.0
    )
    pairs = snapshot(tmp_path / "pairs", QUERIES)
    own = evaluate(pairs.table("test"), CrossEncoderScorer(trained(), bf16=False)).per_query
    won = Damaging(Contender("version 0", own[list(JUDGED)] - 0.05), GATE, "5" * 64)
    model = export(trained(), tmp_path / "export", version(1), settings, pairs, victory=won)
    assert model.manifest.engine.name == "onnxruntime-fp32"
    assert "does not beat version 0" in verdicts(model)["onnxruntime-int8"]
    alone = settings.model_copy(update={"engines": ("onnxruntime-int8",)})
    with pytest.raises(ExportDiffers, match=r"onnxruntime-int8: it does not beat version 0.*not packaged"):
        export(trained(), tmp_path / "refused", version(1), alone, pairs, victory=won)
    assert not (tmp_path / "refused").exists()
    again = export(trained(), tmp_path / "export", version(1), settings, pairs)
    assert again.manifest.configuration != model.manifest.configuration
