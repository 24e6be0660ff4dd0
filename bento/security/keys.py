"""The keys that tokens are verified with."""

import asyncio
import json
import logging
import math
import ssl
import time
from collections.abc import Callable
from typing import Any, Protocol

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bento.errors import RefusedError

logger = logging.getLogger("bentoml.reranker")

LIFESPAN = 300.0
"""Seconds until known keys are fetched anew, and so until a key that the issuer took back stops working."""
GRACE = 6 * 3_600.0
"""Seconds that keys outlive their lifespan while the issuer does not answer."""
COOLDOWN = 10.0
"""Seconds between two fetches, whatever tokens ask for: invented key ids must not turn us on the issuer."""
TIMEOUT = 5.0
MAX_BYTES = 2**20
MIN_BITS = 2_048  # RFC 7518, section 3.3


class UnknownKeyError(Exception):
    """No key has this id."""


class Keys(Protocol):
    """Finds the key of a token."""

    async def find(self, kid: str | None) -> bytes | RSAPublicKey:
        """Return the key with the id `kid`. UnknownKeyError: there is none; RefusedError 503: nobody can tell now."""
        ...


class SharedSecret:
    """The one secret of HS256 tokens."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def find(self, kid: str | None) -> bytes:
        """Return the secret, whatever id the token names."""
        return self._secret


class PublicKeys:
    """The issuer's RSA keys (RFC 7517), kept up to date without making requests wait for it.

    For one event loop. Known keys answer at once, and are renewed in the background when they are old. Only a token
    with an unknown key waits for a fetch, which all such tokens share.
    """

    def __init__(
        self, url: str, changed: Callable[[], None] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Call `changed` when other keys came; ValueError when `url` is none of http or https."""
        if httpx.URL(url).scheme not in ("http", "https"):
            raise ValueError(
                "RERANKER_SERVICE_JWKS_URL must begin with https:// (or http:// inside a private network)"
            )
        self._url = url
        self._changed = changed
        self._clock = clock
        self._tls = ssl.create_default_context()
        self._keys: dict[str | None, RSAPublicKey] = {}
        self._fetched_at = -math.inf
        self._next_fetch = -math.inf
        self._failing = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> RSAPublicKey:
        """Return the key with the id `kid`; without one, the only key there is."""
        key = self._known(kid)
        if key is not None:
            if self._clock() - self._fetched_at > LIFESPAN:
                self._start_fetch()
            return key
        self._start_fetch()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)  # a request that is cancelled leaves the others their fetch
        key = self._known(kid)
        if key is not None:
            return key
        if self._failing:
            wait = max(1, math.ceil(self._next_fetch - self._clock()))
            advice = "The token cannot be verified, since its issuer does not answer: try again later."
            raise RefusedError(503, "unavailable", advice, {"retry-after": str(wait)})
        raise UnknownKeyError

    def _known(self, kid: str | None) -> RSAPublicKey | None:
        if self._clock() - self._fetched_at > LIFESPAN + GRACE:
            return None
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _start_fetch(self) -> None:
        if self._fetching is None and self._clock() >= self._next_fetch:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            keys = _signing_keys(await self._download())
        # Not the message: it quotes the address, which may hold a password.
        except (httpx.HTTPError, OSError, ValueError, RecursionError) as failure:
            self._failing = True
            reason = f"status {failure.response.status_code}" if isinstance(failure, httpx.HTTPStatusError) else ""
            logger.warning(
                "No keys came from RERANKER_SERVICE_JWKS_URL (%s): %s. Tokens of known keys are still taken.",
                type(failure).__name__,
                reason or (failure if isinstance(failure, _UnusableKeysError) else "no answer to use"),
            )
        else:
            self._failing = False
            self._fetched_at = self._clock()
            if keys != self._keys:
                self._keys = keys
                self._changed()
        finally:
            self._next_fetch = self._clock() + COOLDOWN
            self._fetching = None

    async def _download(self) -> Any:
        body = bytearray()
        async with (
            asyncio.timeout(TIMEOUT),  # httpx counts each step anew, so that a slow answer could last for ever
            httpx.AsyncClient(verify=self._tls, timeout=TIMEOUT) as client,
            client.stream("GET", self._url, headers={"accept": "application/json"}) as response,
        ):
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise _UnusableKeysError("the answer is over 1 MiB")
        return json.loads(body)


class _UnusableKeysError(ValueError):
    """What came is no set of keys; the message quotes nothing of it."""


def _signing_keys(document: Any) -> dict[str | None, RSAPublicKey]:
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _UnusableKeysError("the answer is no JSON Web Key Set")
    keys = {
        entry.get("kid"): key
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str | None)
        if (key := _rs256_key(entry)) is not None
    }
    if not keys:
        raise _UnusableKeysError(f"it holds no public RSA key for RS256 of {MIN_BITS} bits or more")
    return keys


def _rs256_key(entry: dict[str, Any]) -> RSAPublicKey | None:
    """Return the key of one entry; None for what signs no RS256 tokens (other kinds, encryption, private, short)."""
    suits = entry.get("kty") == "RSA" and entry.get("use", "sig") == "sig" and entry.get("alg", "RS256") == "RS256"
    if not suits:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm="RS256").key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= MIN_BITS else None
