import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bento.configuration import ServiceSettings
from bento.errors import RefusedError
from bento.security.authentication import MAX_REMEMBERED, Authenticator
from bento.security.identity import Identity

SECRET = "an-only-secret-of-forty-characters-here!"


def authenticate(authenticator: Authenticator, token: str) -> Identity:
    return asyncio.run(authenticator.authenticate(f"Bearer {token}"))


def refusal(authenticator: Authenticator, authorization: str | None) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        asyncio.run(authenticator.authenticate(authorization))
    return caught.value


def test_a_token_of_the_issuer_names_its_subject_and_scopes(settings: Any, make: Any) -> None:
    authenticator = Authenticator(settings())
    identity = authenticate(authenticator, jwt.encode(make.claims(scope="rerank other"), SECRET))
    assert identity == Identity("client-1", frozenset({"rerank", "other"}))


@pytest.mark.parametrize(
    ("scope", "scp", "expected"),
    [
        ("rerank", None, {"rerank"}),
        (None, ["rerank", "rerank:admin"], {"rerank", "rerank:admin"}),
        (None, "rerank x", {"rerank", "x"}),
        (None, None, set()),
        (7, {"rerank": 1}, set()),
        (None, ["rerank", 3, None], {"rerank"}),
    ],
)
def test_scopes_come_as_text_or_list(settings: Any, make: Any, scope: Any, scp: Any, expected: set[str]) -> None:
    token = jwt.encode(make.claims(scope=scope, scp=scp), SECRET)
    assert authenticate(Authenticator(settings()), token).scopes == expected


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer  ", "Basic dTpw", "token abc"])
def test_without_a_bearer_token_the_answer_asks_for_one(settings: Any, authorization: str | None) -> None:
    refused = refusal(Authenticator(settings()), authorization)
    assert (refused.status, refused.kind) == (401, "unauthorized")
    # RFC 6750, section 3.1: no error code for a request that holds no credentials.
    assert refused.headers == {"www-authenticate": 'Bearer realm="reranker"'}
    assert "Bearer <token>" in refused.message


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"sub": None},
        {"iss": None},
        {"aud": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"iss": "https://other.test/"},
        {"aud": "other"},
        {"aud": []},
        {"aud": ["other", "another"]},
        {"nbf": 4e9},
        {"exp": "soon"},
        {"exp": 1e9},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_claims_that_do_not_hold_are_refused(settings: Any, make: Any, changes: dict[str, Any]) -> None:
    refused = refusal(Authenticator(settings()), f"Bearer {jwt.encode(make.claims(**changes), SECRET)}")
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="reranker", error="invalid_token"'


def test_an_expired_token_is_told_so_and_a_leeway_is_left(settings: Any, make: Any) -> None:
    authenticator = Authenticator(settings())
    assert authenticate(authenticator, jwt.encode(make.claims(exp=time.time() - 5), SECRET))
    refused = refusal(authenticator, f"Bearer {jwt.encode(make.claims(exp=time.time() - 15), SECRET)}")
    assert "expired" in refused.message


def test_expiry_is_told_of_nothing_that_the_issuer_did_not_sign(settings: Any, make: Any) -> None:
    forged = jwt.encode(make.claims(exp=1), "another secret of more than 32 bytes!")
    assert "expired" not in refusal(Authenticator(settings()), f"Bearer {forged}").message


def test_a_remembered_token_ends_with_its_expiry(settings: Any, make: Any) -> None:
    ticks = [time.time()]
    authenticator = Authenticator(settings(), now=lambda: ticks[0])
    token = jwt.encode(make.claims(exp=time.time() - 5), SECRET)  # within the leeway: taken, but never remembered
    authenticate(authenticator, token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("looked again"))
        with pytest.raises(pytest.fail.Exception):
            authenticate(authenticator, token)
        patch.undo()
        fresh = jwt.encode(make.claims(), SECRET)
        authenticate(authenticator, fresh)
        patch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("looked again"))
        assert authenticate(authenticator, fresh).subject == "client-1"
        ticks[0] += 61
        with pytest.raises(pytest.fail.Exception):
            authenticate(authenticator, fresh)


def test_the_memory_of_tokens_is_bounded(settings: Any, make: Any) -> None:
    authenticator = Authenticator(settings())

    async def many() -> None:
        for number in range(MAX_REMEMBERED + 10):
            authenticator._remember(number.to_bytes(32), Identity("x", frozenset()), until=0)

    asyncio.run(many())
    assert len(authenticator._remembered) == MAX_REMEMBERED
    assert (0).to_bytes(32) not in authenticator._remembered


def test_unsigned_and_wrongly_signed_tokens_are_refused(settings: Any, make: Any) -> None:
    good = jwt.encode(make.claims(), SECRET)
    head, body, signature = good.split(".")
    attacks = [
        f"{make.segment({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        f"{make.segment({'alg': 'None', 'typ': 'JWT'})}.{body}.{signature}",
        f"{make.segment({'typ': 'JWT'})}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{make.segment(make.claims(sub='admin'))}.{signature}",
        jwt.encode(make.claims(), SECRET * 2, "HS512"),
        jwt.encode(make.claims(), "another secret of more than 32 bytes!"),
        f"{good}x",
        "a.b.c",
        "..",
        f"{make.segment({'alg': 'HS256', 'crit': ['x'], 'x': 1})}.{body}.{signature}",
        "[" * 4000,
        "é.é.é",
        "x" * 100_000,
    ]
    authenticator = Authenticator(settings())
    assert authenticate(authenticator, good)
    for token in attacks:
        assert refusal(authenticator, f"Bearer {token}").status == 401


@given(text=st.text() | st.text(alphabet='abc.=-_ey{}"').map("Bearer ".__add__))
def test_no_header_breaks_it(text: str) -> None:
    given = ServiceSettings(authentication="jwt", jwt_issuer="i", jwt_audience="a", jwt_secret=SECRET)
    assert refusal(Authenticator(given), text).status == 401


@given(payload=st.binary(max_size=60))
def test_no_signed_payload_breaks_it(payload: bytes) -> None:
    given = ServiceSettings(authentication="jwt", jwt_issuer="i", jwt_audience="a", jwt_secret=SECRET)
    token = jwt.api_jws.encode(payload, SECRET, "HS256")
    assert refusal(Authenticator(given), f"Bearer {token}").status == 401


@pytest.mark.parametrize("claim", ["exp", "sub", "iss", "aud", "nbf", "iat", "jti", "scope"])
@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1e400, [], {}, True, 10**40, "\ud800", [[1]]], ids=repr
)
def test_no_strange_claim_breaks_it(settings: Any, make: Any, claim: str, value: Any) -> None:
    payload = json.dumps(make.claims(**{claim: value})).encode()
    with contextlib.suppress(RefusedError):
        authenticate(Authenticator(settings()), jwt.api_jws.encode(payload, SECRET, "HS256"))


def test_scopes_open_what_they_name(settings: Any, make: Any) -> None:
    authenticator = Authenticator(settings())
    user = authenticate(authenticator, jwt.encode(make.claims(scope="rerank"), SECRET))
    admin = authenticate(authenticator, jwt.encode(make.claims(scope="rerank:admin"), SECRET))
    for access in ("open", "probe", "metrics"):
        user.require(access)
        admin.require(access)
    user.require("rerank")
    admin.require("admin")
    for identity, access in ((user, "admin"), (admin, "rerank")):
        with pytest.raises(RefusedError) as caught:
            identity.require(access)
        assert (caught.value.status, caught.value.kind) == (403, "forbidden")
        assert 'error="insufficient_scope"' in caught.value.headers["www-authenticate"]
    nobody = authenticate(authenticator, jwt.encode(make.claims(scope="else"), SECRET))
    with pytest.raises(RefusedError):
        nobody.require("metrics")


def test_a_public_key_is_no_secret(settings: Any, make: Any, issuer: Any, keys: Any) -> None:
    """An HS256 token signed with the text of the RSA public key is the classic confusion of algorithms."""
    issuer.publish(keys[0])
    authenticator = Authenticator(settings(jwks_url=issuer.url))
    signed = f"{make.segment({'alg': 'HS256', 'kid': 'first'})}.{make.segment(make.claims())}"
    signature = hmac.new(keys[0].public_pem, signed.encode(), hashlib.sha256).digest()
    forged = f"{signed}.{jwt.utils.base64url_encode(signature).decode()}"

    async def both() -> None:
        assert (await authenticator.authenticate(f"Bearer {keys[0].token()}")).subject == "client-1"
        with pytest.raises(RefusedError) as caught:
            await authenticator.authenticate(f"Bearer {forged}")
        assert caught.value.status == 401

    asyncio.run(both())
    assert issuer.fetches == 1


def test_another_algorithm_costs_the_issuer_no_fetch(settings: Any, make: Any, issuer: Any) -> None:
    authenticator = Authenticator(settings(jwks_url=issuer.url))
    for algorithm in ("none", "HS256", "RS512", "ES256", 5):
        token = f"{make.segment({'alg': algorithm, 'kid': 'x'})}.{make.segment(make.claims())}.c2ln"
        assert refusal(authenticator, f"Bearer {token}").status == 401
    assert issuer.fetches == 0


def test_nothing_of_a_token_is_logged(settings: Any, make: Any, issuer: Any, keys: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    issuer.status = 500
    by_secret, by_key = Authenticator(settings()), Authenticator(settings(jwks_url=issuer.url))
    tokens = [jwt.encode(make.claims(exp=1), SECRET), jwt.encode(make.claims(), SECRET), keys[0].token(), "a.b.c"]
    for token in tokens:
        for authenticator in (by_secret, by_key):
            if (authenticator, token) != (by_secret, tokens[1]):
                assert token not in refusal(authenticator, f"Bearer {token}").message
    assert "RERANKER_SERVICE_JWKS_URL" in caplog.text
    assert not any(token in caplog.text for token in tokens)
    assert SECRET not in caplog.text
