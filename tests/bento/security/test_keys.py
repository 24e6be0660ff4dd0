import asyncio
import json
from typing import Any

import jwt
import pytest

from bento.errors import RefusedError
from bento.security.authentication import Authenticator
from bento.security.keys import COOLDOWN, GRACE, LIFESPAN, PublicKeys, UnknownKeyError


async def settled(issuer: Any, fetches: int) -> None:
    """Wait until a fetch in the background is through."""
    async with asyncio.timeout(5):
        while issuer.fetches < fetches or len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.002)


def test_known_keys_cost_one_fetch(issuer: Any, keys: Any, clock: Any) -> None:
    issuer.publish(*keys)

    async def ask() -> None:
        known = PublicKeys(issuer.url, clock=clock)
        found = await asyncio.gather(*(known.find("first") for _ in range(50)), known.find("second"))
        assert found[0].public_numbers() == keys[0].private.public_key().public_numbers()
        assert found[-1].public_numbers() == keys[1].private.public_key().public_numbers()

    asyncio.run(ask())
    assert issuer.fetches == 1


def test_a_rotated_key_is_fetched_and_the_old_one_ends(issuer: Any, keys: Any, settings: Any, clock: Any) -> None:
    issuer.publish(keys[0])

    async def rotate() -> None:
        authenticator = Authenticator(settings(jwks_url=issuer.url))
        authenticator._keys._clock = clock  # type: ignore[attr-defined]
        old, new = (f"Bearer {key.token()}" for key in keys)
        assert await authenticator.authenticate(old)
        issuer.publish(keys[1])
        clock.now += COOLDOWN
        assert await authenticator.authenticate(new)
        with pytest.raises(RefusedError) as caught:  # though it was remembered
            await authenticator.authenticate(old)
        assert caught.value.status == 401

    asyncio.run(rotate())


def test_invented_key_ids_do_not_hammer_the_issuer(issuer: Any, keys: Any, clock: Any) -> None:
    issuer.publish(keys[0])

    async def attack() -> None:
        known = PublicKeys(issuer.url, clock=clock)
        for number in range(200):
            with pytest.raises(UnknownKeyError):
                await known.find(f"invented-{number}")
            clock.now += 0.1
            assert await known.find("first")

    asyncio.run(attack())
    assert issuer.fetches <= 200 * 0.1 / COOLDOWN + 1


def test_old_keys_are_renewed_without_a_wait(issuer: Any, keys: Any, clock: Any) -> None:
    issuer.publish(keys[0])

    async def renew() -> None:
        known = PublicKeys(issuer.url, clock=clock)
        await known.find("first")
        clock.now += LIFESPAN + 1
        issuer.release.clear()
        async with asyncio.timeout(1):
            assert await known.find("first")  # while the issuer has not answered yet
        issuer.publish(keys[1])
        issuer.release.set()
        await settled(issuer, 2)
        with pytest.raises(UnknownKeyError):
            await known.find("first")
        assert await known.find("second")

    asyncio.run(renew())


def test_known_keys_outlive_an_outage_for_a_while(issuer: Any, keys: Any, clock: Any) -> None:
    issuer.publish(keys[0])

    async def outage() -> None:
        known = PublicKeys(issuer.url, clock=clock)
        await known.find("first")
        issuer.status = 500
        clock.now += LIFESPAN + 1
        assert await known.find("first")
        await settled(issuer, 2)
        clock.now += GRACE - 10
        assert await known.find("first")
        await settled(issuer, 3)
        clock.now += 20
        with pytest.raises(RefusedError) as caught:
            await known.find("first")
        assert caught.value.status == 503
        issuer.status = 200
        clock.now += COOLDOWN
        assert await known.find("first")

    asyncio.run(outage())


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (2**20 + 1),
        {"keys": []},
        {"keys": {}},
        [],
        None,
        {"keys": [None, 5, {}, {"kty": "RSA"}, {"kty": "RSA", "n": 5, "e": "AQAB"}, {"kty": "oct", "k": "c2VjcmV0"}]},
    ],
    ids=lambda document: str(document)[:30],
)
def test_an_answer_that_is_no_key_set_is_an_outage(issuer: Any, document: Any, clock: Any, caplog: Any) -> None:
    issuer.document = document

    async def ask() -> None:
        known = PublicKeys(issuer.url, clock=clock)
        for _ in range(3):
            with pytest.raises(RefusedError) as caught:
                await known.find("first")
            assert (caught.value.status, caught.value.kind) == (503, "unavailable")
            assert 1 <= int(caught.value.headers["retry-after"]) <= COOLDOWN

    asyncio.run(ask())
    assert issuer.fetches == 1
    assert len([record for record in caplog.records if "JWKS_URL" in record.getMessage()]) == 1


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_an_issuer_that_fails_makes_no_failure_of_ours(issuer: Any, settings: Any, keys: Any, status: int) -> None:
    issuer.publish(keys[0])
    issuer.status = status
    with pytest.raises(RefusedError) as caught:
        asyncio.run(Authenticator(settings(jwks_url=issuer.url)).authenticate(f"Bearer {keys[0].token()}"))
    assert caught.value.status == 503


def test_an_issuer_that_is_not_there_is_an_outage(issuer: Any, settings: Any, keys: Any) -> None:
    issuer.close()
    with pytest.raises(RefusedError) as caught:
        asyncio.run(Authenticator(settings(jwks_url=issuer.url)).authenticate(f"Bearer {keys[0].token()}"))
    assert caught.value.status == 503


def test_an_issuer_that_hangs_is_given_up(
    issuer: Any, settings: Any, keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bento.security.keys.TIMEOUT", 0.1)
    issuer.release.clear()
    with pytest.raises(RefusedError) as caught:
        asyncio.run(Authenticator(settings(jwks_url=issuer.url)).authenticate(f"Bearer {keys[0].token()}"))
    assert caught.value.status == 503


def test_a_request_that_is_cancelled_leaves_the_others_their_fetch(issuer: Any, keys: Any, clock: Any) -> None:
    issuer.publish(keys[0])
    issuer.release.clear()

    async def ask() -> None:
        known = PublicKeys(issuer.url, clock=clock)
        first = asyncio.create_task(known.find("first"))
        second = asyncio.create_task(known.find("first"))
        await asyncio.sleep(0)
        first.cancel()
        issuer.release.set()
        assert await second
        assert first.cancelled() or first.cancelling()

    asyncio.run(ask())
    assert issuer.fetches == 1


def test_keys_that_sign_no_tokens_are_left_out(issuer: Any, keys: Any, make: Any, clock: Any) -> None:
    short, private = make.SigningKey("short", bits=1024), make.SigningKey("private")
    leaked = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private.private)) | {"kid": "private"}
    issuer.document = {
        "keys": [
            keys[0].entry,
            short.entry,
            leaked,
            {**keys[1].entry, "use": "enc"},
            {**keys[1].entry, "kid": "other", "alg": "RS512"},
        ]
    }

    async def ask() -> None:
        known = PublicKeys(issuer.url, clock=clock)
        assert await known.find("first")
        for kid in ("short", "private", "second", "other"):
            with pytest.raises(UnknownKeyError):
                await known.find(kid)

    asyncio.run(ask())


def test_without_a_key_id_the_only_key_is_meant(issuer: Any, keys: Any, make: Any, clock: Any) -> None:
    async def ask() -> None:
        issuer.publish(make.SigningKey(None))
        assert await PublicKeys(issuer.url, clock=clock).find(None)
        issuer.publish(*keys)
        with pytest.raises(UnknownKeyError):
            await PublicKeys(issuer.url, clock=clock).find(None)

    asyncio.run(ask())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "jwks.json"])
def test_only_http_addresses_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match="RERANKER_SERVICE_JWKS_URL"):
        PublicKeys(url)
