"""Who may say that a notification is Adyen's."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.sources import adyen, adyen_platform
from gateway.sources.port import Trust
from tests.gateway.sources.adyen_examples import KEY, PAYMENT, REFUND, Body, item, notification, published, signed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OTHER = "9064450A8892A093D9E97EFCC9639DE31B74F3A7803135555A3C96F5A57915D6"
# From the documentation of Adyen's own libraries: key, item and signature.
DOCUMENTED = item(
    "AUTHORISATION",
    "7914073381342284",
    merchantReference="TestPayment-1407325143704",
    amount={"value": 1130, "currency": "EUR"},
    additionalData={"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
)


def verdict(raw: bytes, *secrets: str, headers: dict[str, str] | None = None, **options: str) -> str | None:
    return adyen.verify(headers or {}, raw, trust=Trust(secrets=secrets or (KEY,), options=options), now=NOW)


def test_the_documented_item_is_genuine() -> None:
    assert verdict(notification(DOCUMENTED)) is None


def test_every_item_must_be_signed() -> None:
    good, other = signed(item("AUTHORISATION")), signed(item("REFUND", REFUND, PAYMENT))
    unsigned = item("CAPTURE", "C1", PAYMENT)
    forged = {**other, "success": "false"}
    assert verdict(notification(good, other)) is None
    assert verdict(notification(good, unsigned)) == "signature.missing"
    assert verdict(notification(forged, good)) == "signature.mismatch"
    assert verdict(notification(good, forged)) == "signature.mismatch"
    assert verdict(notification(good, good["additionalData"])) == "signature.malformed"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"live=false&notificationItems=1",
        notification(),
        b'{"notificationItems": 7}',
        notification([]),
        notification(None),
        notification({**signed(item("REFUND", REFUND)), "amount": {"value": 1.5, "currency": "EUR"}}),
        b'{"notificationItems":' + b"[" * 100_000,
    ],
    ids=["empty", "null", "form", "no items", "a number", "a list", "no item", "half a cent", "deep"],
)
def test_what_is_no_notification_is_nobodys(raw: bytes) -> None:
    assert verdict(raw) == "signature.malformed"


@pytest.mark.parametrize(
    ("secrets", "verdict_given"),
    [
        ((OTHER, KEY), None),
        ((KEY, OTHER), None),
        ((KEY.lower(),), None),
        ((OTHER,), "signature.mismatch"),
        (("not hexadecimal",), "signature.no_secret"),
        (("",), "signature.no_secret"),
        ((" ",), "signature.no_secret"),
        (("not hexadecimal", KEY), None),
    ],
)
def test_any_key_may_have_signed_while_one_is_replaced(secrets: tuple[str, ...], verdict_given: str | None) -> None:
    assert verdict(notification(signed(item("AUTHORISATION"))), *secrets) == verdict_given


def test_an_empty_key_signs_nothing() -> None:
    forged = notification(signed(item("AUTHORISATION"), key=""))
    assert verdict(forged, "", " ", KEY) == "signature.mismatch"


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": {"value": "1130", "currency": "EUR"}},
        {"amount": {"value": 0, "currency": "EUR"}},
        {"success": "false"},
        {"originalReference": None},
        {"merchantReference": None},
        {"merchantReference": ""},
        {"merchantReference": "\\:/\\/slashes: are: fun"},
        {"merchantReference": "Số 17"},
        {"merchantAccountCode": "Ümläut"},
    ],
)
def test_the_signed_fields_are_signed_as_they_are(fields: Body) -> None:
    assert verdict(notification(signed(item("REFUND", REFUND, PAYMENT, **fields)))) is None


def test_success_may_be_a_boolean() -> None:
    body = signed(item("AUTHORISATION"))
    assert verdict(notification({**body, "success": True})) is None
    assert verdict(notification({**body, "success": False})) == "signature.mismatch"


def moved(**fields: Any) -> bytes:
    """The documented item whose reference has a colon, its fields cut elsewhere; the signed text is the same."""
    genuine = signed(item("AUTHORISATION", "A1", merchantReference="TestPayment:17", merchantAccountCode="M"))
    forged = {**genuine, **fields}
    assert signed(forged)["additionalData"] == genuine["additionalData"], "the signed text is another"
    return notification(forged)


@pytest.mark.parametrize(
    "fields",
    [
        {"merchantAccountCode": "M:TestPayment", "merchantReference": "17"},
        {"originalReference": ":M", "merchantAccountCode": "TestPayment", "merchantReference": "17"},
        {
            "pspReference": "A1:",
            "originalReference": "M",
            "merchantAccountCode": "TestPayment",
            "merchantReference": "17",
        },
        {"merchantReference": "TestPayment", "amount": {"value": "17:4900", "currency": "EUR"}},
        {"merchantReference": "TestPayment", "amount": {"value": 17, "currency": "4900:EUR"}},
    ],
)
def test_a_signature_does_not_fit_the_same_text_cut_into_other_fields(fields: Body) -> None:
    assert verdict(moved()) is None
    assert verdict(moved(**fields)) == "signature.malformed"


@pytest.mark.parametrize("signature", ["", "x", "é", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0", "c" * 10_000])
def test_a_signature_that_is_none_signs_nothing(signature: str) -> None:
    body = {**DOCUMENTED, "additionalData": {"hmacSignature": signature}}
    assert verdict(notification(body)) == ("signature.mismatch" if signature else "signature.missing")


@pytest.mark.parametrize(
    ("header", "verdict_given"),
    [
        ("Basic " + base64.b64encode(b"adyen:pass:word").decode(), None),
        ("basic  " + base64.b64encode(b"adyen:pass:word").decode(), None),
        ("Basic " + base64.b64encode(b"adyen:other").decode(), "signature.wrong_credentials"),
        ("Bearer " + base64.b64encode(b"adyen:pass:word").decode(), "signature.wrong_credentials"),
        ("Basic é\udcff", "signature.wrong_credentials"),
        ("", "signature.wrong_credentials"),
    ],
)
def test_what_is_not_signed_is_believed_of_who_knows_the_password(header: str, verdict_given: str | None) -> None:
    raw, headers = notification(signed(item("AUTHORISATION"))), {"authorization": header}
    assert verdict(raw, headers=headers, basic_auth="adyen:pass:word") == verdict_given
    assert verdict(raw, headers=headers) is None


def vectors() -> list[Body]:
    (path,) = published("hmac/VECTORS.json")
    found: list[Body] = json.loads(path.read_bytes())
    return found


def test_the_vectors_of_adyens_libraries_verify_and_with_one_field_changed_do_not() -> None:
    items = [each for each in vectors() if "payload" not in each]
    assert len(items) == 6
    for vector in items:
        body = vector.get("item") or json.loads(published(f"hmac/{vector['file']}")[0].read_bytes())
        body = {**body, "additionalData": {"hmacSignature": vector["expected"]}}
        assert verdict(notification(body), vector["hmac_key_hex"]) is None, vector["name"]
        for field in ("pspReference", "merchantAccountCode", "merchantReference", "eventCode", "success"):
            forged = {**body, field: body[field] + "x"}
            assert verdict(notification(forged), vector["hmac_key_hex"]) == "signature.mismatch"


def test_the_vector_over_a_whole_body_verifies_and_with_one_bit_flipped_does_not() -> None:
    (vector,) = (each for each in vectors() if "payload" in each)
    raw, trust = vector["payload"].encode(), Trust(secrets=(vector["hmac_key_hex"],))
    headers = {"hmacsignature": vector["expected"]}
    assert adyen_platform.verify(headers, raw, trust=trust, now=NOW) is None
    for place in range(len(raw)):
        forged = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert adyen_platform.verify(headers, forged, trust=trust, now=NOW) == "signature.mismatch"


def test_the_item_that_a_library_tests_with_verifies_with_the_signature_inside() -> None:
    for path in published("hmac/*_notification.json"):
        key = "74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174"
        assert verdict(notification(json.loads(path.read_bytes())), key) is None, path.name
