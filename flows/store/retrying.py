"""HTTP that tries again where that can help, and says what to do where it cannot."""

import json
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count

import httpx

from flows.store.errors import StoreError, StoreRefusedError, StoreUnavailableError

_logger = logging.getLogger(__name__)

_BASE_SECONDS = 0.5
_LONGEST_SECONDS = 30.0


class RetryTransport(httpx.BaseTransport):
    """Send each request until it is answered: 429, 5xx and lost connections are tried again, other errors raise.

    Waits grow by exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015), and last at least as long as a Retry-After asks for. Every request is tried again, so it must be
    safe to send twice.
    """

    def __init__(self, inner: httpx.BaseTransport, retries: int, sleep: Callable[[float], None] = time.sleep) -> None:
        self._inner = inner
        self._retries = retries
        self._sleep = sleep

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return a response below 400; StoreUnavailableError after the last try, StoreRefusedError at once."""
        for attempt in count():
            wait = random.uniform(0, min(_LONGEST_SECONDS, _BASE_SECONDS * 2**attempt))
            try:
                response = self._inner.handle_request(request)
                response.read()  # here, so that a connection lost in the middle of an answer counts as well
            except (httpx.TransportError, httpx.DecodingError) as error:
                failure: StoreError = StoreUnavailableError(
                    f"no answer from {request.url.host} ({type(error).__name__}: {error}): check the network and "
                    "RERANKER_STORE__SUPABASE_URL"
                )
            else:
                if response.is_success and (request.method == "POST" or response.content.startswith(b"[")):
                    return response  # whatever else says 200 to a question for rows is not PostgREST
                failure = _failure(response, request)
                wait = max(wait, _retry_after(response))
            if isinstance(failure, StoreRefusedError) or attempt >= self._retries:
                raise failure
            _logger.warning("try %d of %d failed, next in %.1f s: %s", attempt + 1, self._retries + 1, wait, failure)
            self._sleep(wait)
        raise AssertionError("count() never ends")

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


def _failure(response: httpx.Response, request: httpx.Request) -> StoreError:
    """Turn an error response of PostgREST, or of the gateway before it, into words. Never quotes sent rows."""
    status, table = response.status_code, request.url.path.rsplit("/", 1)[-1]
    try:
        error = json.loads(response.content)
    except ValueError:
        error = {}
    error = error if isinstance(error, dict) else {}
    code, message = str(error.get("code") or ""), str(error.get("message") or response.reason_phrase)
    said = f"{request.url.host} answered {status} {code} ({message})".replace("  ", " ")
    if status == 429 or status >= 500:
        return StoreUnavailableError(f"{said}, for table {table}")
    if status in (401, 403) or code == "42501":
        return StoreRefusedError(f"{said}: set RERANKER_STORE__SUPABASE_KEY to the project's service role key")
    if code in ("42P01", "PGRST205", "42703", "PGRST204"):  # unknown table or column, by PostgreSQL or by PostgREST
        return StoreRefusedError(f"{said}: apply deployments/supabase/migrations, see the README.md beside them")
    if status == 404 or status < 400:
        return StoreRefusedError(f"{said}: RERANKER_STORE__SUPABASE_URL must be https://<project>.supabase.co")
    return StoreRefusedError(f"{said}, for table {table}")


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that Retry-After asks for, as a number or as a date; 0 without one."""
    asked = response.headers.get("Retry-After", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # not a date either, or one without a zone
            return 0.0
    return min(max(seconds, 0.0), 4 * _LONGEST_SECONDS)
