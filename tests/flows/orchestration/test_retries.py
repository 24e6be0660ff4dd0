"""What is tried again, and what is not."""

import pytest
from prefect import task
from prefect.client.schemas.objects import State, StateType
from prefect.states import Failed

from flows.gate import GateError
from flows.hosting import HostBusy, ReleaseRefused
from flows.orchestration.retries import HEALING, can_heal
from flows.packaging import ExportDiffers
from flows.registry import RegistryError, RegistryUnavailable
from flows.snapshot import NoPairsError
from flows.store import StoreRefusedError, StoreUnavailableError
from flows.training import DivergedError


def verdict(failure: Exception) -> bool:
    state: State = Failed(data=failure)
    assert state.type is StateType.FAILED
    return can_heal(task(lambda: None), None, state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "failure", [StoreUnavailableError("busy"), RegistryUnavailable("away"), HostBusy("at work"), ConnectionError()]
)
def test_what_was_away_is_tried_again(failure: Exception) -> None:
    assert verdict(failure)


@pytest.mark.parametrize(
    "failure",
    [
        StoreRefusedError("wrong key"),
        RegistryError("no such version"),
        NoPairsError("nothing"),
        DivergedError("nan"),
        GateError("other queries"),
        ExportDiffers("0.1"),
        ReleaseRefused("wrong scores"),
        ValueError("a defect"),
    ],
)
def test_what_is_wrong_is_not(failure: Exception) -> None:
    assert not verdict(failure)


def test_waiting_grows() -> None:
    waits = HEALING["retry_delay_seconds"](HEALING["retries"])
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]
