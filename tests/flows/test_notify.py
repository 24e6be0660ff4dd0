"""The notice of the result, received by a real HTTP server, whatever became of the run."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.states import Crashed

from flows import notify as notifying
from flows.contracts.outcome import Outcome
from flows.notify import deliver, notify
from flows.orchestration.sending import NotSent
from flows.registry import open_registry
from flows.settings import load_settings
from tests.flows.loop import artifact, frozen, trained

pytestmark = pytest.mark.slow

SECRET = "T0PS3CRET"
USERS_WORDS = "why does my knee hurt"
OUTCOME = Outcome(
    cause="drift",
    detected_at=None,
    snapshot="ab" * 32,
    drift="red",
    challenger=1,
    verdict="promote",
    champion=1,
    service="http://127.0.0.1:3000",
    seconds_to_live=None,
    before={"ndcg@10": 0.71, "mrr@10": 0.6, "map@10": 0.5},
    after={"ndcg@10": 0.76, "mrr@10": 0.65, "map@10": 0.55},
)


class Receiver(HTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, Any]] = []
        self.status = 200
        self.url = f"http://127.0.0.1:{self.server_port}/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the settings name, through a block in Prefect."""
    server = Receiver()
    Thread(target=server.serve_forever, daemon=True).start()
    block = CustomWebhookNotificationBlock(name="team", url=server.url, json_data={"text": "{{subject}}\n{{body}}"})
    block.save("team", overwrite=True)
    monkeypatch.setenv("RERANKER_NOTICE__BLOCK", "custom-webhook/team")
    load_settings.cache_clear()
    yield server
    server.shutdown()
    server.server_close()


@flow(name="train")
def train() -> None:
    """A step."""


@flow(name="promote")
def broken() -> None:
    raise ValueError(f"could not read {USERS_WORDS!r}")


@flow(name="lifecycle", persist_result=True, result_serializer="json")
def lifecycle(fails: bool = False) -> Outcome:
    train()
    if fails:
        broken()
    return OUTCOME


def ended(fails: bool = False) -> UUID:
    """Let a lifecycle run to its end; return its id."""
    run = lifecycle(fails, return_state=True).state_details.flow_run_id
    assert run is not None
    return run


@pytest.fixture
def champion(home: Path, reranker: Path) -> None:
    registry = open_registry(load_settings())
    registry.promote(registry.register(trained(reranker, frozen(reranker)), {}).version)


def test_a_run_that_went_well_is_told_with_numbers_and_addresses(champion: None, receiver: Receiver) -> None:
    run = ended()
    notice = notify(run)
    assert notice.outcome == OUTCOME
    assert [step.name for step in notice.steps] == ["train"]
    (message,) = receiver.received
    for said in (
        "promote for version 1, NDCG@10 0.710 -> 0.760; the champion is version 1",
        "| mrr@10 | 0.6000 | 0.6500 |",
        "because of drift",
        "service: http://127.0.0.1:3000",
        str(notice.run),
        "nothing is billed",
        "train",
    ):
        assert said in message["text"], said
        assert said in f"{artifact('notice')}", said


def test_a_run_that_failed_is_told_without_a_word_of_a_user(champion: None, receiver: Receiver) -> None:
    notice = notify(ended(fails=True))
    assert (notice.state, notice.failure, notice.outcome) == ("Failed", "ValueError", None)
    (message,) = receiver.received
    assert "ended as Failed (ValueError); the champion is version 1" in message["text"]
    assert "It ended with ValueError in promote." in message["text"]
    assert "knee" not in message["text"] + artifact("notice")


def test_a_run_whose_process_is_gone_is_told(champion: None, receiver: Receiver) -> None:
    run = ended()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Crashed(message="no heartbeat"), force=True)
    assert notify(run).state == "Crashed"
    assert "ended as Crashed" in receiver.received[0]["text"]


def test_without_mlflow_the_notice_goes_out_all_the_same(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended()
    load_settings().file("mlflow.db").write_bytes(b"not a database, by no means" * 100)
    assert notify(run).champion is None
    assert "the champion is not known" in receiver.received[0]["text"]


def test_a_receiver_that_refuses_is_named_without_its_address(
    champion: None, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "deliver", deliver.with_options(retries=1, retry_delay_seconds=0))
    run = ended()
    receiver.status = 503
    with pytest.raises(
        NotSent, match=r"custom-webhook/team could not deliver \(HTTPStatusError, status 503\)"
    ) as caught:
        notify(run)
    assert len(receiver.received) == 2
    assert SECRET not in str(caught.value)
    assert "promote for version 1" in artifact("notice")


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("custom-webhook/nobody", "no Prefect block custom-webhook/nobody"),
        ("secret/word", "sends no notifications"),
        ("slack-webhook/away", r"slack-webhook/away could not deliver \(NotificationError"),
    ],
)
def test_a_block_that_is_none_is_named(
    champion: None, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, block: str, says: str
) -> None:
    Secret(value="word").save("word", overwrite=True)
    SlackWebhook(url="https://127.0.0.1:9/services/T1/B1/secret").save("away", overwrite=True)
    monkeypatch.setattr(notifying, "deliver", deliver.with_options(retries=0))
    monkeypatch.setenv("RERANKER_NOTICE__BLOCK", block)
    load_settings.cache_clear()
    with pytest.raises(NotSent, match=says):
        notify(ended())


def test_without_a_block_the_notice_is_an_artifact(champion: None) -> None:
    assert notify(ended()).champion is not None
    assert "the champion is version 1" in artifact("notice")
