"""What the service's page says, held against the code."""

import re
from pathlib import Path
from typing import get_args

from starlette.testclient import TestClient

from bento.configuration import ServiceSettings
from bento.errors import ErrorType

PAGE = (Path(__file__).parents[2] / "bento" / "README.md").read_text("utf-8")


def test_names_every_setting_and_no_other() -> None:
    named = set(re.findall(r"RERANKER_SERVICE_([A-Z_]+)", PAGE))
    assert named == {name.upper() for name in ServiceSettings.model_fields}


def test_names_every_kind_of_refusal() -> None:
    assert {kind for kind in get_args(ErrorType) if f"`{kind}`" not in PAGE} == set()


def test_names_every_metric_and_no_other(client: TestClient) -> None:
    exposed = set(re.findall(r"^# TYPE (reranker_\w+) (?!unknown)", client.get("/metrics").text, re.MULTILINE))
    created = {name for name in exposed if name.endswith("_created")}
    named = set(re.findall(r"`(reranker_[a-z0-9_]+)`", PAGE))
    only_when_priced = {"reranker_hourly_price", "reranker_cost_per_1000_requests"}
    only_when_used = {"reranker_padding_share"}
    assert exposed - created <= named
    assert named - exposed <= only_when_priced | only_when_used


def test_the_first_request_of_the_page_is_answered(client: TestClient) -> None:
    found = re.search(r"curl \S+?(/v1/rerank) .*?-d '(.*?)'", PAGE, re.DOTALL)
    assert found is not None
    answer = client.post(found[1], content=found[2])
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1
