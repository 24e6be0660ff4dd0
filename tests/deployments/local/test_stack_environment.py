"""What flow runs are told through the environment."""

from pathlib import Path

import pytest

from deployments.local.demo_training import TRAINING, demo_settings
from deployments.local.environment import stack_environment
from flows.settings import Settings

PORTS = {"prefect": 14200, "mlflow": 15000, "reports": 14300}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that no .env file plays a part."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flow_run_reads_back_the_settings_it_was_started_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        home=Path("state"),
        training={"epochs": 0.5, "from_champion": False, "loss": "bce"},
        store={"kind": "supabase", "supabase_url": "http://127.0.0.1:9", "supabase_key": "secret"},
        servers={"work_pool": "mine"},
    )
    for name, value in stack_environment(settings, PORTS).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    read = Settings()
    assert read.training == settings.training
    assert read.store == settings.store
    assert read.store.supabase_key is not None
    assert read.store.supabase_key.get_secret_value() == "secret"
    assert read.servers.work_pool == "mine"
    assert read.servers.mlflow_port == PORTS["mlflow"]
    assert read.folder() == folder / "state"


def test_the_demo_trains_its_second_cycle_with_the_settings_of_its_stack(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = demo_settings(Settings(home=folder, training={"max_minutes": 1}))
    for name, value in stack_environment(settings, PORTS).items():
        monkeypatch.setenv(name, value)
    assert Settings().training == TRAINING[2].model_copy(update={"max_minutes": 1})
    assert demo_settings(Settings()).training == Settings().training


def test_settings_at_their_defaults_are_not_written_out(folder: Path) -> None:
    named = stack_environment(Settings(home=folder), PORTS)
    assert not [name for name in named if name.startswith("RERANKER_TRAINING")]


def test_clients_find_the_servers_on_the_ports_they_really_have(folder: Path) -> None:
    environment = stack_environment(Settings(home=folder), PORTS)
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:14200/api"
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:15000"
    assert environment["RERANKER_REGISTRY__TRACKING_URI"] == "http://127.0.0.1:15000"


def test_a_registry_elsewhere_is_left_where_it_is(folder: Path) -> None:
    settings = Settings(home=folder, registry={"tracking_uri": "http://mlflow.example"})
    assert stack_environment(settings, PORTS)["MLFLOW_TRACKING_URI"] == "http://mlflow.example"


def test_loopback_never_goes_through_a_proxy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org,localhost")
    assert stack_environment(Settings(home=folder), PORTS)["NO_PROXY"] == "example.org,localhost,127.0.0.1"


def test_the_hub_is_switched_off_only_where_no_model_comes_from_it(folder: Path) -> None:
    from_hub = Settings(home=folder, training={"base_model": "cross-encoder/ms-marco-MiniLM-L-6-v2"})
    assert stack_environment(Settings(home=folder), PORTS)["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in stack_environment(from_hub, PORTS)
