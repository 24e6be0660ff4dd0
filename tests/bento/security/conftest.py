import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bento.configuration import ServiceSettings

ISSUER, AUDIENCE, SECRET = "https://issuer.test/", "reranker", "an-only-secret-of-forty-characters-here!"


def claims(**changes: Any) -> dict[str, Any]:
    given = {
        "sub": "client-1",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": time.time() + 600,
        "scope": "rerank",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


class SigningKey:
    """A key of the issuer, and what it signs."""

    def __init__(self, kid: str | None, bits: int = 2048) -> None:
        self.kid = kid
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)

    def token(self, **changes: Any) -> str:
        headers = {} if self.kid is None else {"kid": self.kid}
        return jwt.encode(claims(**changes), self.private, "RS256", headers=headers)

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def entry(self) -> dict[str, Any]:
        entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key()))
        return {**entry, "use": "sig", "alg": "RS256"} | ({} if self.kid is None else {"kid": self.kid})


class Issuer:
    """A JWKS endpoint on loopback, which can be told to fail."""

    def __init__(self) -> None:
        self.document: Any = {"keys": []}
        self.status = 200
        self.fetches = 0
        self.release = threading.Event()
        self.release.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                issuer.release.wait(10)
                body = issuer.document if isinstance(issuer.document, bytes) else json.dumps(issuer.document).encode()
                self.send_response(issuer.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def publish(self, *keys: SigningKey) -> None:
        self.document = {"keys": [key.entry for key in keys]}

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture(scope="session")
def keys() -> list[SigningKey]:
    return [SigningKey("first"), SigningKey("second")]


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings() -> Callable[..., ServiceSettings]:
    def make(**changes: Any) -> ServiceSettings:
        given = {"authentication": "jwt", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, **changes}
        if "jwks_url" not in given:
            given.setdefault("jwt_secret", SECRET)
        return ServiceSettings(**given)

    return make


def encode_segment(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


class Helpers:
    """What tests build by hand."""

    claims = staticmethod(claims)
    segment = staticmethod(encode_segment)
    SigningKey = SigningKey
    secret = SECRET


@pytest.fixture(scope="session")
def make() -> type[Helpers]:
    return Helpers
