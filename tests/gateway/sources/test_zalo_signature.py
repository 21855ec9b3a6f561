"""Who may say that a message is Zalo's."""

import json
from datetime import UTC, datetime

import pytest

from gateway.sources import zalo
from gateway.sources.port import Trust
from tests.gateway.sources.zalo_examples import from_user, raw, recorded, signed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BODY = b'{"app_id":"1","timestamp":"1700000000000"}'
# printf '%s' '1' "$BODY" '1700000000000' 'oa_secret' | openssl dgst -sha256
VECTOR = "3c40200a4682706dcacddff0bd3bdbf1f73f7038a8343f16b26773bbd21cfad0"


def verdict(header: str | None, *secrets: str, body: bytes = BODY, **options: str) -> str | None:
    headers = {} if header is None else {"x-zevent-signature": header}
    return zalo.verify(headers, body, trust=Trust(secrets=secrets or ("oa_secret",), options=options), now=NOW)


@pytest.mark.parametrize(
    ("header", "verdict_given"),
    [
        (f"mac={VECTOR}", None),
        (f"mac = {VECTOR}", None),
        (f" {VECTOR} ", None),
        (None, "signature.missing"),
        ("", "signature.missing"),
        ("mac=", "signature.malformed"),
        ("nonsense", "signature.malformed"),
        (f"mac={VECTOR[:-1]}", "signature.malformed"),
        (f"mac={VECTOR.upper()}", "signature.malformed"),
        (f"mac={VECTOR[:-1]}é", "signature.malformed"),
        (f"mac={'0' * 64}", "signature.mismatch"),
    ],
)
def test_a_header_is_genuine_or_says_why_not(header: str | None, verdict_given: str | None) -> None:
    assert verdict(header) == verdict_given


@pytest.mark.parametrize(
    ("secrets", "verdict_given"),
    [
        (("new", "oa_secret"), None),
        (("oa_secret", "new"), None),
        (("new",), "signature.mismatch"),
        (("",), "signature.no_secret"),
    ],
)
def test_any_secret_may_have_signed_while_one_is_replaced(secrets: tuple[str, ...], verdict_given: str | None) -> None:
    assert verdict(f"mac={VECTOR}", *secrets) == verdict_given


def test_an_empty_secret_signs_nothing() -> None:
    body = raw(from_user())

    found = zalo.verify(signed(body, ""), body, trust=Trust(secrets=("", "oa_secret")), now=NOW)

    assert found == "signature.mismatch"


def test_a_message_of_another_app_is_not_ours() -> None:
    assert verdict(f"mac={VECTOR}", app_id="1") is None
    assert verdict(f"mac={VECTOR}", app_id="2") == "signature.mismatch"


def test_a_timestamp_that_is_a_number_is_signed_as_its_digits() -> None:
    body = raw({**from_user(), "timestamp": 1772366400123})

    assert zalo.verify(signed(body, "oa_secret"), body, trust=Trust(secrets=("oa_secret",)), now=NOW) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"app_id": 7}', b'{"timestamp": true}', b"[" * 100_000])
def test_a_body_that_says_nothing_of_itself_is_nobodys(body: bytes) -> None:
    assert verdict(f"mac={VECTOR}", body=body) == "signature.mismatch"


def vectors() -> list[dict[str, str]]:
    (path,) = recorded("signature/zgo-vectors.json")
    found: list[dict[str, str]] = json.loads(path.read_bytes())["vectors"]
    return found


def test_the_vectors_of_another_library_verify() -> None:
    for vector in vectors():
        given = (f"mac={vector['mac']}", vector["oaSecretKey"])
        assert verdict(*given, body=vector["body"].encode(), app_id=vector["appId"]) is None


def test_one_flipped_byte_anywhere_and_a_vector_fails() -> None:
    for vector in vectors():
        body = vector["body"].encode()
        for place in range(len(body)):
            flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            found = verdict(f"mac={vector['mac']}", vector["oaSecretKey"], body=flipped, app_id=vector["appId"])
            assert found == "signature.mismatch", place
