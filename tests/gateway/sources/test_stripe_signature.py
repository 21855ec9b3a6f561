"""Who may say that a message is Stripe's."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.sources import stripe
from gateway.sources.port import Trust
from tests.gateway.sources.examples import recorded, signed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BODY = b'{"id":"evt_1","type":"customer.updated"}'

# openssl dgst -sha256 -hmac whsec_example, over "1700000000." and BODY.
VECTOR = "655f5f0a651ac1b962eac430711dcd60925f0bd56f95f985c15088d05cb51a6c"
SIGNED_AT = datetime.fromtimestamp(1_700_000_000, UTC)


def verdict(header: str | None, *secrets: str, raw: bytes = BODY, now: datetime = SIGNED_AT) -> str | None:
    headers = {} if header is None else {"stripe-signature": header}
    return stripe.verify(headers, raw, trust=Trust(secrets=secrets or ("whsec_example",)), now=now)


@pytest.mark.parametrize(
    ("header", "verdict_given"),
    [
        (f"t=1700000000,v1={VECTOR}", None),
        (f"v1={VECTOR},t=1700000000", None),
        (f"t=1700000000, v1={VECTOR}", None),
        (f"t=1700000000,v0={'0' * 64},v1={'0' * 64},v1={VECTOR},v2=later", None),
        (None, "signature.missing"),
        ("", "signature.missing"),
        ("nonsense", "signature.malformed"),
        ("t=1700000000", "signature.malformed"),
        (f"v1={VECTOR}", "signature.malformed"),
        (f"t=,v1={VECTOR}", "signature.malformed"),
        (f"t=-1700000000,v1={VECTOR}", "signature.malformed"),
        (f"t=1.7e9,v1={VECTOR}", "signature.malformed"),
        (f"t=١٧٠٠٠٠٠٠٠٠,v1={VECTOR}", "signature.malformed"),  # noqa: RUF001 - digits that `isdigit` takes
        (f"t={'1' * 5000},v1={VECTOR}", "signature.malformed"),
        (f"t=1700000000,v0={VECTOR}", "signature.malformed"),
        ("t=1700000000,v1=", "signature.mismatch"),
        (f"t=1700000000,v1={VECTOR[:-1]}", "signature.mismatch"),
        (f"t=1700000000,v1={VECTOR.upper()}", "signature.mismatch"),
        (f"t=1700000001,v1={VECTOR}", "signature.mismatch"),
        ("t=1700000000,v1=é\udcff", "signature.mismatch"),
    ],
)
def test_a_header_is_genuine_or_says_why_not(header: str | None, verdict_given: str | None) -> None:
    assert verdict(header) == verdict_given


def test_the_bytes_are_signed_and_not_what_they_mean() -> None:
    assert verdict(f"t=1700000000,v1={VECTOR}", raw=BODY + b"\n") == "signature.mismatch"


@pytest.mark.parametrize(
    ("secrets", "verdict_given"),
    [
        (("whsec_new", "whsec_example"), None),
        (("whsec_example", "whsec_new"), None),
        (("whsec_new",), "signature.mismatch"),
        (("",), "signature.no_secret"),
    ],
)
def test_any_secret_may_have_signed_while_one_is_replaced(secrets: tuple[str, ...], verdict_given: str | None) -> None:
    assert verdict(f"t=1700000000,v1={VECTOR}", *secrets) == verdict_given


def test_nothing_is_genuine_where_no_secret_is_known() -> None:
    headers = {"stripe-signature": f"t=1700000000,v1={VECTOR}"}
    assert stripe.verify(headers, BODY, trust=Trust(secrets=()), now=SIGNED_AT) == "signature.no_secret"


def test_an_empty_secret_signs_nothing() -> None:
    forged = signed(BODY, "", NOW)
    found = stripe.verify(forged, BODY, trust=Trust(secrets=("", "whsec_example")), now=NOW)
    assert found == "signature.mismatch"


@pytest.mark.parametrize(
    ("age_s", "verdict_given"),
    [(0, None), (300, None), (301, "signature.too_old"), (86_400, "signature.too_old"), (-86_400, None)],
)
def test_only_a_signature_beyond_the_tolerance_is_too_old(age_s: int, verdict_given: str | None) -> None:
    headers = signed(BODY, "whsec_example", NOW - timedelta(seconds=age_s))
    assert stripe.verify(headers, BODY, trust=Trust(secrets=("whsec_example",)), now=NOW) == verdict_given


def test_a_forged_signature_is_not_told_that_it_is_old() -> None:
    assert verdict(f"t=1000,v1={VECTOR}") == "signature.mismatch"


def test_the_vector_of_another_library_verifies() -> None:
    (path,) = recorded("signature/async-stripe-vector.json")
    vector = json.loads(path.read_bytes())
    headers = {"stripe-signature": vector["header"]}
    raw = vector["payload"].encode()
    now = datetime.fromtimestamp(vector["timestamp"], UTC)
    assert stripe.verify(headers, raw, trust=Trust(secrets=[vector["secret"]]), now=now) is None
    later = now + timedelta(seconds=301)
    assert stripe.verify(headers, raw, trust=Trust(secrets=[vector["secret"]]), now=later) == "signature.too_old"
    found = stripe.verify(headers, raw + b" ", trust=Trust(secrets=[vector["secret"]]), now=now)
    assert found == "signature.mismatch"
