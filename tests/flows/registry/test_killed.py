"""Registering in a process that dies at every possible point, then registering again."""

import pandas as pd
import pytest

from flows.registry import Registry
from flows.settings import RegistrySettings

METRICS = {"ndcg@10": 0.7}
EVIDENCE = {"challenger.parquet": pd.DataFrame({"query_id": ["a"], "ndcg@10": [1.0]})}

CHANGES = (
    "create_run",
    "log_artifacts",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_batch",
    "set_terminated",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
)
"""Every change that registering makes, in order."""


class Killed(BaseException):
    """The process ends here."""


def dying_after(client, name, monkeypatch):
    change = getattr(client, name)

    def call(*arguments, **named):
        change(*arguments, **named)
        raise Killed

    monkeypatch.setattr(client, name, call)


def assert_registered_once(registry, tmp_path):
    [version] = registry.versions()
    assert (version.version, version.aliases, version.metrics) == (1, ("challenger",), METRICS)
    experiment = registry._experiment_id()
    [run] = registry._client.search_runs([experiment])
    assert run.info.run_id == version.run_id
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"test/ndcg_at_10": 0.7}
    [model] = registry._client.search_logged_models([experiment])
    assert str(model.status) == "READY"
    assert registry.fetch(1, tmp_path / "fetched").is_dir()
    assert registry.evidence(1, "challenger.parquet").to_dict("list") == {"query_id": ["a"], "ndcg@10": [1.0]}


@pytest.mark.parametrize("change", CHANGES)
def test_killed_after_any_change(registry, uri, trained, tmp_path, monkeypatch, change):
    dying = Registry(RegistrySettings(), uri)
    dying_after(dying._client, change, monkeypatch)
    with pytest.raises(Killed):
        dying.register(trained(), METRICS, EVIDENCE)
    whole = change in ("create_model_version", "set_registered_model_alias")
    assert len(registry.versions()) == (1 if whole else 0), "a version is seen before it is whole"
    registry.register(trained(), METRICS, EVIDENCE)
    assert_registered_once(registry, tmp_path)


def test_killed_while_the_weights_are_uploaded(registry, uri, trained, tmp_path, monkeypatch):
    dying = Registry(RegistrySettings(), uri)
    upload = dying._client.log_model_artifact

    def upload_some(model_id, staged):
        upload(model_id, f"{staged}/MLmodel")
        raise Killed

    monkeypatch.setattr(dying._client, "log_model_artifacts", upload_some)
    with pytest.raises(Killed):
        dying.register(trained(), METRICS, EVIDENCE)
    assert registry.versions() == []
    registry.register(trained(), METRICS, EVIDENCE)
    assert_registered_once(registry, tmp_path)


def test_a_training_run_that_never_ended_becomes_the_versions_run(registry, uri, trained, snapshot, tmp_path):
    """Training was done and kept, but the process died before the run was closed."""
    dead = Registry(RegistrySettings(), uri).training_run(snapshot, "0123456789abcdef", {})
    run = dead.__enter__()
    version = registry.register(trained(), METRICS, EVIDENCE)
    assert version.run_id == run.run_id
    assert_registered_once(registry, tmp_path)
