"""What the API page promises, tried on a running service with data that keeps to it and data that does not."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig

from bento.api.openapi import components, paths
from bento.api.operations import OPERATIONS
from bento.configuration import ServiceSettings
from bento.errors import ErrorResponse

CONFIG = SchemathesisConfig.from_dict({"generation": {"mode": "all"}})


SETTINGS = ServiceSettings()  # of the service behind `service_url`, too
PAGE = {
    "openapi": "3.1.0",
    "info": {"title": "Reranker", "version": "1"},
    "paths": paths(OPERATIONS, SETTINGS),
    "components": components(OPERATIONS, SETTINGS),
}
schema = schemathesis.openapi.from_dict(PAGE, config=CONFIG)

_few = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_this_is_the_page_that_is_served(service_url: str) -> None:
    served = httpx.get(f"{service_url}/docs.json", trust_env=False).json()
    assert {name: served[name] for name in ("openapi", "paths", "components")} == {
        name: PAGE[name] for name in ("openapi", "paths", "components")
    }


@schema.parametrize()
@_few
def test_keeps_its_promises(case: schemathesis.Case, service_url: str) -> None:
    # No failure, no status or field that is not documented, bad data refused and good data taken.
    case.call_and_validate(base_url=service_url, timeout=10)


@pytest.fixture(scope="module")
def connection(service_url: str) -> Iterator[http.client.HTTPConnection]:
    address = urlsplit(service_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    yield connection
    connection.close()


PATHS = ["/v1/rerank", "/v2/rerank", "/rerank", "/score", "/v1/feedback"]
TYPES = [
    None,
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
]
fragments = st.sampled_from(
    [
        *(b'{"query":"a","documents":["b"]}', b'{"pairs":[', b'"query":', b"[", b"{", b"}", b"]", b",", b'"', b"-"),
        *(b"NaN", b"1e999", b"null", b"0" * 5_000, b"[" * 300, b"\x00", b"\xff", b"\xef\xbb\xbf", b'"\\ud800"'),
    ]
)


@settings(parent=_few, max_examples=150)
@given(
    path=st.sampled_from(PATHS),
    media_type=st.sampled_from(TYPES),
    body=st.binary(max_size=100) | st.lists(fragments, max_size=8).map(b"".join),
)
def test_no_body_breaks_it(
    connection: http.client.HTTPConnection, path: str, media_type: str | None, body: bytes
) -> None:
    connection.request("POST", path, body, {} if media_type is None else {"content-type": media_type})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status in {200, 400, 404, 422}, content
    if answer.status == 200:
        json.loads(content)
    else:
        error = ErrorResponse.model_validate_json(content).error
        assert error.request_id == answer.headers["x-request-id"]
