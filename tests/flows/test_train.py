"""Who teaches the students."""

from pathlib import Path

import pytest

from flows import train as flow
from flows.contracts.model import ModelVersion
from flows.contracts.snapshot import Snapshot
from flows.registry import Registry
from flows.settings import StudentSettings, TrainingSettings, load_settings


def version(number: int, ndcg: float) -> ModelVersion:
    return ModelVersion(
        name="reranker",
        version=number,
        digest=f"{number:064x}",
        snapshot="5" * 64,
        configuration="c" * 16,
        run_id="run",
        validation={"ndcg@10": ndcg},
    )


def test_all_depths_learn_from_the_best_recipe_though_a_student_validates_better(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RERANKER_HOME", str(tmp_path))
    load_settings.cache_clear()
    known = {1: version(1, 0.78), 2: version(2, 0.80)}
    recipes = iter(known)
    taught: list[tuple[int, int]] = []

    def distil(
        _digest: str, _training: TrainingSettings, _student: StudentSettings, layers: int, teacher: ModelVersion
    ) -> int:
        taught.append((layers, teacher.version))
        known[2 + len(taught)] = version(2 + len(taught), 0.81)
        return 2 + len(taught)

    monkeypatch.setattr(
        flow, "find", lambda *_: type("Found", (Snapshot,), {"__init__": lambda _: None, "digest": "5"})()
    )
    monkeypatch.setattr(flow, "train_and_register", lambda *_: next(recipes))
    monkeypatch.setattr(flow, "distil_and_register", distil)
    monkeypatch.setattr(flow, "find_teacher", flow.find_teacher.fn)
    monkeypatch.setattr(Registry, "version", lambda _, number: known[number])
    monkeypatch.setattr(Registry, "page", lambda *_: None)
    student = StudentSettings(layers=(4, 3))
    assert flow.train.fn(training=TrainingSettings(rivals=("bce",)), student=student) == [1, 2, 3, 4]
    assert taught == [(4, 2), (3, 2)]
    load_settings.cache_clear()
