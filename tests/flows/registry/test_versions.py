import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from flows.registry import Registry, RegistryError
from flows.settings import RegistrySettings

METRICS = {"ndcg@10": 0.71, "mrr@10": 0.65}


def test_a_new_registry_is_empty(registry):
    assert registry.versions() == []
    assert (registry.champion(), registry.challenger(), registry.previous()) == (None, None, None)


def test_a_registered_model_is_the_challenger_with_all_that_names_it(registry, trained):
    model = trained()
    version = registry.register(model, METRICS)
    assert (version.name, version.version, version.aliases) == ("reranker", 1, ("challenger",))
    assert (version.digest, version.snapshot, version.configuration) == (
        model.digest,
        model.snapshot,
        model.configuration,
    )
    assert version.metrics == METRICS
    assert registry.challenger() == version == registry.version(1)


def test_the_same_model_again_is_the_same_version(registry, uri, trained):
    first = registry.register(trained(), METRICS)
    again = Registry(RegistrySettings(), uri).register(trained(), {"ndcg@10": 0.9})
    assert again == first
    assert len(registry.versions()) == 1


@pytest.mark.parametrize(
    "change", [{"digest": "f" * 64}, {"snapshot": "cd" * 32}, {"configuration": "fedcba9876543210"}]
)
def test_another_model_is_another_version(registry, trained, change):
    registry.register(trained(), METRICS)
    assert registry.register(trained(**change), METRICS).version == 2
    assert [v.version for v in registry.versions()] == [2, 1]
    assert [v.aliases for v in registry.versions()] == [("challenger",), ()]


def test_two_processes_at_once_still_make_one_version(registry, uri, trained, monkeypatch):
    """The second registers while the first has looked for a version and not yet made its own."""
    other = Registry(RegistrySettings(), uri)
    make = registry._client.create_model_version

    def late(*arguments, **named):
        other.register(trained(), METRICS)
        return make(*arguments, **named)

    monkeypatch.setattr(registry._client, "create_model_version", late)
    assert registry.register(trained(), METRICS).version == 1
    assert [v.version for v in registry.versions()] == [1]


def test_evidence_is_kept_beside_the_version_and_can_grow(registry, trained, tmp_path):
    scores = pd.DataFrame({"query_id": ["a", "b"], "ndcg@10": [0.5, 1.0]})
    registry.register(trained(), METRICS, {"challenger.parquet": scores})
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"PNG")
    registry.attach(1, {"incumbent.parquet": scores * 2, "decision.json": '{"verdict": "promote"}'})
    registry.attach(1, {"report/picture.png": picture})
    pd.testing.assert_frame_equal(registry.evidence(1, "challenger.parquet"), scores)
    pd.testing.assert_frame_equal(registry.evidence(1, "incumbent.parquet"), scores * 2)
    run_id = registry.version(1).run_id
    kept = {file.path for file in registry._client.list_artifacts(run_id, "evaluation")}
    files = ("challenger.parquet", "incumbent.parquet", "decision.json", "report")
    assert kept == {f"evaluation/{name}" for name in files}
    path = registry._client.download_artifacts(run_id, "evaluation/report/picture.png", str(tmp_path))
    assert Path(path).read_bytes() == b"PNG"


def test_facts_of_its_life_become_tags_and_the_newest_wins(registry, uri, trained):
    import mlflow

    version = registry.register(trained(), METRICS).version
    registry.note(version, {"cause": "drift", "seconds_to_live": "900.0"})
    registry.note(version, {"seconds_to_live": "901.5"})
    tags = mlflow.MlflowClient(uri).get_model_version("reranker", str(version)).tags
    assert (tags["reranker.cause"], tags["reranker.seconds_to_live"]) == ("drift", "901.5")
    assert registry.version(version).metrics == METRICS
    with pytest.raises(RegistryError, match="7"):
        registry.note(7, {"cause": "drift"})


def test_a_fetched_model_is_the_trained_one_with_what_serving_must_know(registry, trained, tmp_path):
    model = trained()
    registry.register(model, METRICS)
    folder = registry.fetch(1, tmp_path / "fetched")
    trained_files = {path.name: path.read_bytes() for path in model.folder.iterdir()}
    fetched_files = {path.name: path.read_bytes() for path in folder.iterdir()}
    about = json.loads(fetched_files.pop("reranker.json"))
    assert fetched_files == trained_files
    assert (about["max_length"], about["score_transform"]) == (32, "sigmoid")
    assert (about["digest"], about["snapshot"], about["metrics"]) == (model.digest, model.snapshot, METRICS)
    assert registry.about(1).model_dump(mode="json") == about


def test_fetching_again_downloads_nothing(registry, trained, tmp_path, monkeypatch):
    registry.register(trained(), METRICS)
    folder = registry.fetch(1, tmp_path)
    monkeypatch.setattr(registry, "_download", None)
    assert registry.fetch(1, tmp_path) == folder


def test_damaged_artifacts_are_refused_and_nothing_is_left_behind(registry, uri, trained, tmp_path):
    registry.register(trained(), METRICS)
    stored = next((tmp_path / "home").rglob("cross_encoder/model.safetensors"))
    stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.raises(RegistryError, match=r"damaged: model\.safetensors"):
        registry.fetch(1, tmp_path / "fetched")
    assert list((tmp_path / "fetched").iterdir()) == []


def test_mlflow_loads_the_model_and_it_scores_as_the_trained_one(registry, uri, trained, monkeypatch):
    import mlflow
    import torch
    from sentence_transformers import CrossEncoder

    model = trained()
    registry.register(model, METRICS)
    pairs = pd.DataFrame({"query": ["sort a list", "plot"], "document": ["return sorted numbers", "open the file"]})
    mlflow.set_tracking_uri(uri)
    try:
        loaded = mlflow.pyfunc.load_model("models:/reranker@challenger")
        scores = loaded.predict(pairs)
        nothing = loaded.predict(pairs.iloc[:0])
    finally:
        mlflow.set_tracking_uri(None)
    direct = CrossEncoder(str(model.folder), max_length=32, local_files_only=True)
    expected = direct.predict(pairs.to_numpy().tolist(), activation_fn=torch.nn.Sigmoid())
    assert scores.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert nothing.shape == (0,)
    assert [column.name for column in loaded.metadata.signature.inputs] == ["query", "document"]


def test_nothing_pickled_is_stored(registry, trained, tmp_path):
    registry.register(trained(), METRICS)
    stored = {path.suffix for path in (tmp_path / "home" / "mlflow-artifacts").rglob("*") if path.is_file()}
    assert ".safetensors" in stored
    assert not stored & {".pkl", ".pickle", ".bin", ".pt"}


def test_pickled_weights_are_refused(registry, trained):
    model = trained()
    (model.folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"pytorch_model\.bin may run code"):
        registry.register(model, METRICS)
    assert registry.versions() == []


def test_a_folder_without_weights_is_refused(registry, trained):
    model = trained()
    (model.folder / "model.safetensors").unlink()
    with pytest.raises(RegistryError, match="no safetensors"):
        registry.register(model, METRICS)


def test_a_version_that_does_not_exist_is_named(registry, trained):
    registry.register(trained(), METRICS)
    for ask in (registry.version, registry.promote, registry.reject):
        with pytest.raises(RegistryError, match="99"):
            ask(99)


def test_a_version_that_others_registered_is_not_taken_for_ours(registry):
    registry._client.create_registered_model("reranker")
    registry._client.create_model_version("reranker", "s3://elsewhere/model")
    with pytest.raises(RegistryError, match="not registered by this project"):
        registry.version(1)


def test_what_is_measured_while_a_version_serves_is_a_curve_of_its_run(registry, trained):
    registry.register(trained(), METRICS)
    run = registry._client.get_run(registry.version(1).run_id)
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    name = "drift labelled pairs/champion's score PSI"
    for days, value in ((0.5, 0.1), (2.2, 0.2), (2.6, 0.3)):
        registry.measure(1, {name: value, "ndcg@10": 0.5}, began + timedelta(days=days))
    curve = registry._client.get_metric_history(run.info.run_id, "drift labelled pairs/champions score PSI")
    assert [(p.step, p.value) for p in curve] == [(0, 0.1), (2, 0.2), (2, 0.3)]
    assert [p.timestamp for p in curve] == [run.info.start_time + int(d * 86_400_000) for d in (0.5, 2.2, 2.6)]
    after = registry._client.get_run(run.info.run_id)
    assert after.data.metrics["drift labelled pairs/champions score PSI"] == 0.3
    assert after.data.metrics["ndcg_at_10"] == 0.5
    assert after.info.status == "FINISHED"
    assert registry.version(1).metrics == METRICS


def test_measuring_the_same_again_changes_nothing(registry, trained):
    registry.register(trained(), METRICS)
    for _ in range(2):
        registry.measure(1, {"drift/alarm": 1}, datetime(2031, 1, 1, tzinfo=UTC))
    assert len(registry._client.get_metric_history(registry.version(1).run_id, "drift/alarm")) == 1


def test_nothing_is_measured_of_a_version_that_is_not_there_or_at_no_certain_time(registry, trained):
    with pytest.raises(RegistryError, match="version 7"):
        registry.measure(7, {"drift/alarm": 1}, datetime(2031, 1, 1, tzinfo=UTC))
    registry.register(trained(), METRICS)
    with pytest.raises(ValueError, match="no time zone"):
        registry.measure(1, {"drift/alarm": 1}, datetime(2031, 1, 1))
    registry.measure(1, {}, datetime(2031, 1, 1, tzinfo=UTC))
