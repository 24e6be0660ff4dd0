"""Bearer tokens (RFC 6750, RFC 7519): who sends this request?"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jwt

from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.gateway.exchange import Access
from bento.security.identity import REALM, Identity
from bento.security.keys import Keys, PublicKeys, SharedSecret, UnknownKeyError

LEEWAY = 10
"""Seconds that the issuer's clock may be off."""
REMEMBERED_SECONDS = 60.0
"""How long a verified token is taken again without another look; never past its expiry, nor past a change of keys."""
MAX_REMEMBERED = 4_096
MAX_TOKEN = 8_192
MAX_SUBJECT = 255  # OpenID Connect Core, section 2


class Authenticator:
    """Verifies tokens of one issuer for one audience.

    Which algorithm is allowed comes from the settings alone: a token cannot choose the weaker one, nor have a public
    key taken for a secret.
    """

    def __init__(self, settings: ServiceSettings, now: Callable[[], float] = time.time) -> None:
        """`settings` are those of authentication "jwt"."""
        if settings.jwt_secret is None and settings.jwks_url is None:
            raise ValueError(
                "no key to verify tokens with: set RERANKER_SERVICE_JWT_SECRET or RERANKER_SERVICE_JWKS_URL"
            )
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._now = now
        self._remembered: dict[bytes, tuple[Identity, float]] = {}
        self._algorithm: Literal["HS256", "RS256"]
        self._keys: Keys
        if settings.jwks_url is not None:
            self._algorithm = "RS256"
            self._keys = PublicKeys(settings.jwks_url, changed=self._remembered.clear)
        elif settings.jwt_secret is not None:
            self._algorithm = "HS256"
            self._keys = SharedSecret(settings.jwt_secret.get_secret_value().encode())
        either = frozenset((settings.rerank_scope, settings.admin_scope))
        self._needs: Mapping[Access, frozenset[str]] = {
            "rerank": frozenset((settings.rerank_scope,)),
            "admin": frozenset((settings.admin_scope,)),
            "probe": either,
            "metrics": either,
        }

    async def authenticate(self, authorization: str | None) -> Identity:
        """Return who sent this header.

        RefusedError: 401 for no token or one that is not valid here; 503 when that cannot be told because the issuer
        does not hand out its keys.
        """
        token = _bearer(authorization)
        # A digest, so that no usable token stays in the memory.
        digest = hashlib.sha256(token.encode("ascii")).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and self._now() < remembered[1]:
            return remembered[0]
        claims = await self._claims(token)
        identity = Identity(claims["sub"], _scopes(claims), self._needs)
        self._remember(digest, identity, until=min(float(claims["exp"]), self._now() + REMEMBERED_SECONDS))
        return identity

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != self._algorithm:
                raise jwt.InvalidAlgorithmError
            key = await self._keys.find(header.get("kid"))
            # From here to the end of `authenticate` nothing awaits: no change of keys comes in between.
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[self._algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            if not (0 < len(claims["sub"]) <= MAX_SUBJECT and claims["sub"].isprintable()):
                raise jwt.InvalidTokenError
        except jwt.ExpiredSignatureError:  # said only of tokens that the issuer signed
            raise _unauthorized("The token has expired: get a new one from its issuer.", "invalid_token") from None
        except (jwt.PyJWTError, UnknownKeyError, ValueError, TypeError, OverflowError, RecursionError):
            advice = "The token is not valid for this service: get one for it from its issuer."
            raise _unauthorized(advice, "invalid_token") from None
        return claims

    def _remember(self, digest: bytes, identity: Identity, until: float) -> None:
        self._remembered.pop(digest, None)
        if len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]  # the oldest
        self._remembered[digest] = (identity, until)


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("Send a bearer token, in the header `authorization: Bearer <token>`.")
    if len(token) > MAX_TOKEN or not token.isascii():
        raise _unauthorized(f"The token is no JSON Web Token of at most {MAX_TOKEN} characters.", "invalid_token")
    return token


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return what `scope` (RFC 8693, section 4.2) or `scp` (as some issuers call it) holds, as text or as a list."""
    scopes: set[str] = set()
    for value in (claims.get("scope"), claims.get("scp")):
        if isinstance(value, str):
            scopes.update(value.split())
        elif isinstance(value, list):
            scopes.update(item for item in value if isinstance(item, str))
    return frozenset(scopes)


def _unauthorized(advice: str, error: str | None = None) -> RefusedError:
    challenge = f'Bearer realm="{REALM}"' + (f', error="{error}"' if error else "")
    return RefusedError(401, "unauthorized", advice, {"www-authenticate": challenge})
