import time

import pytest
from mlflow.exceptions import MlflowException

from flows.registry import Registry, RegistryUnavailable
from flows.settings import RegistrySettings

CONFIGURATION = "0123456789abcdef"


@pytest.fixture
def seen(uri):
    """Look at a run as another process sees it."""
    other = Registry(RegistrySettings(), uri)
    return lambda run_id: other._client.get_run(run_id)


def curve(registry, run_id, metric):
    return [(point.step, point.value) for point in registry._client.get_metric_history(run_id, metric)]


def test_a_run_shows_its_data_its_parameters_and_its_curves_while_it_lasts(registry, snapshot, seen):
    with registry.training_run(snapshot, CONFIGURATION, {"learning_rate": 1e-4, "loss": "bce"}) as run:
        run.log({"loss": 0.9, "ndcg@10": 0.4}, step=1)
        live = seen(run.run_id)
        assert live.info.status == "RUNNING"
        assert live.data.metrics == {"loss": 0.9, "ndcg_at_10": 0.4}
        assert live.data.params == {"learning_rate": "0.0001", "loss": "bce"}
        [data] = live.inputs.dataset_inputs
        assert snapshot.digest.startswith(data.dataset.digest)
        assert live.data.tags["reranker.snapshot"] == snapshot.digest
        assert live.data.tags["reranker.configuration"] == CONFIGURATION
    assert seen(run.run_id).info.status == "FINISHED"


def test_every_point_of_a_fast_loop_arrives(registry, snapshot):
    with registry.training_run(snapshot, CONFIGURATION, {}) as run:
        for step in range(2500):
            run.log({"loss": 1 / (step + 1)}, step)
    assert curve(registry, run.run_id, "loss") == [(step, 1 / (step + 1)) for step in range(2500)]


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_breaks_off_says_so(registry, snapshot, seen, error, status):
    with pytest.raises(error), registry.training_run(snapshot, CONFIGURATION, {}) as run:
        raise error
    assert seen(run.run_id).info.status == status


def test_a_run_whose_process_was_killed_is_closed_by_the_next(registry, uri, snapshot, seen):
    dead = Registry(RegistrySettings(), uri).training_run(snapshot, CONFIGURATION, {})
    zombie = dead.__enter__().run_id
    other = Registry(RegistrySettings(), uri).training_run(snapshot, "another configuration", {})
    bystander = other.__enter__().run_id
    assert seen(zombie).info.status == "RUNNING"
    with registry.training_run(snapshot, CONFIGURATION, {}) as run:
        assert run.run_id != zombie
        assert seen(zombie).info.status == "KILLED"
        assert seen(bystander).info.status == "RUNNING"


@pytest.mark.parametrize("ended", [None, "FAILED", "KILLED"])
def test_a_training_that_goes_on_keeps_its_run_and_its_curves(registry, uri, snapshot, seen, ended):
    dead = Registry(RegistrySettings(), uri).training_run(snapshot, CONFIGURATION, {"checkpoint_steps": 5})
    begun = dead.__enter__()
    begun.log({"loss": 3.0}, 1)
    if ended:
        registry._client.set_terminated(begun.run_id, ended)
    with registry.training_run(snapshot, CONFIGURATION, {"checkpoint_steps": 9}, go_on=True) as run:
        assert run.run_id == begun.run_id
        assert seen(run.run_id).info.status == "RUNNING"
        run.log({"loss": 2.0}, 2)
    assert curve(registry, run.run_id, "loss") == [(1, 3.0), (2, 2.0)]
    assert seen(run.run_id).data.params == {"checkpoint_steps": "5"}
    assert seen(run.run_id).info.status == "FINISHED"
    with registry.training_run(snapshot, CONFIGURATION, {}, go_on=True) as another:
        assert another.run_id != run.run_id


def test_the_machine_is_watched_while_a_run_lasts(registry, snapshot, seen, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with registry.training_run(snapshot, CONFIGURATION, {}) as run:
        deadline = time.monotonic() + 60
        while "system/cpu_utilization_percentage" not in seen(run.run_id).data.metrics:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert 0 < seen(run.run_id).data.metrics["system/system_memory_usage_percentage"] <= 100
    points = len(curve(registry, run.run_id, "system/cpu_utilization_percentage"))
    time.sleep(0.5)
    assert len(curve(registry, run.run_id, "system/cpu_utilization_percentage")) == points


@pytest.fixture
def outage(registry, monkeypatch):
    """A switch for MLflow's answer to metrics."""
    send, away = registry._client.log_batch, []

    def log_batch(*arguments, **named):
        if away:
            raise MlflowException("connection refused")
        return send(*arguments, **named)

    monkeypatch.setattr(registry._client, "log_batch", log_batch)
    return away


def test_training_goes_on_while_mlflow_is_away_and_no_point_is_lost(registry, snapshot, outage, caplog):
    with registry.training_run(snapshot, CONFIGURATION, {}) as run:
        outage.append(True)
        run.log({"loss": 3.0}, 1)
        run.log({"loss": 2.0}, 2)
        assert "1 metrics wait until MLflow answers again" in caplog.text
        outage.clear()
        run.log({"loss": 1.0}, 3)
    assert curve(registry, run.run_id, "loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_metrics_that_cannot_be_kept_are_not_passed_over(registry, snapshot, outage):
    def train():
        with registry.training_run(snapshot, CONFIGURATION, {}) as run:
            outage.append(True)
            run.log({"loss": 3.0}, 1)

    with pytest.raises(RegistryUnavailable, match="take the training metrics"):
        train()
