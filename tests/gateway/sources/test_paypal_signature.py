"""Who may say that a message is PayPal's."""

import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.sources import paypal
from gateway.sources.paypal_certificate import certificate_url, issuer_url, with_issuer
from gateway.sources.port import Certified, Trust
from tests.gateway.sources.conformance import NOW
from tests.gateway.sources.paypal_certificates import (
    ISSUER_URL,
    MADE_AT,
    NAME,
    URL,
    VALID,
    authority,
    issuer,
    leaf,
    options,
    pem,
    root,
    signed,
)
from tests.gateway.sources.paypal_examples import recorded

BODY = b'{"id":"WH-1"}'


def verdict(
    chain: bytes | None, headers: dict[str, str] | None = None, now: datetime = NOW, **given: str
) -> str | None:
    trust = Trust(options=options(**given), certificates={} if chain is None else {URL: chain})
    return paypal.verify(signed(BODY) if headers is None else headers, BODY, trust=trust, now=now)


def test_a_chain_that_leads_to_a_trusted_root_vouches_for_the_signature() -> None:
    assert verdict(pem(leaf(), issuer())) is None
    assert verdict(pem(leaf(), issuer(), root())) is None
    assert verdict(pem(leaf(issuer="root"))) is None


def test_what_paypal_leaves_out_of_the_chain_may_be_an_option() -> None:
    assert verdict(pem(leaf())) == "signature.certificate_untrusted"
    assert verdict(pem(leaf()), issuers=pem(issuer()).decode()) is None


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"<html>not found</html>", id="no certificate"),
        pytest.param(pem(leaf())[:-60] + b"\n-----END CERTIFICATE-----", id="cut"),
        pytest.param(pem(issuer(), leaf()), id="the issuer first"),
        pytest.param(pem(leaf("messageverificationcerts.paypal.com.example.com"), issuer()), id="another's name"),
        pytest.param(pem(leaf("www.paypal.com"), issuer()), id="another name of PayPal's"),
        pytest.param(pem(leaf("*.paypal.com"), issuer()), id="any name of PayPal's"),
        pytest.param(pem(leaf(issuer="stranger"), authority("stranger", "stranger")), id="a root of its own"),
        pytest.param(pem(leaf(issuer="stranger"), authority("stranger", "root-2"), issuer()), id="another's issuer"),
        pytest.param(pem(leaf(until=NOW - timedelta(seconds=1)), issuer()), id="expired"),
        pytest.param(pem(leaf(key=ec.generate_private_key(ec.SECP256R1())), issuer()), id="no RSA key"),
    ],
)
def test_a_certificate_that_nothing_vouches_for_is_not_trusted(chain: bytes) -> None:
    assert verdict(chain) == "signature.certificate_untrusted"


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (MADE_AT - timedelta(seconds=1), "signature.certificate_untrusted"),
        (MADE_AT, None),
        (MADE_AT + VALID, None),
        (MADE_AT + VALID + timedelta(seconds=1), "signature.certificate_untrusted"),
    ],
)
def test_the_chain_is_valid_at_the_time_of_receipt(now: datetime, found: str | None) -> None:
    assert verdict(pem(leaf(), issuer()), now=now) == found


def test_without_a_root_of_our_own_the_usual_ones_are_trusted() -> None:
    assert verdict(pem(leaf(), issuer()), roots="") == "signature.certificate_untrusted"
    assert verdict(pem(leaf(), issuer()), roots="no certificate") == "signature.certificate_untrusted"


def test_the_certificate_must_have_been_fetched() -> None:
    assert verdict(None) == "signature.certificate_missing"


def test_the_webhook_is_the_tenants_own() -> None:
    chain = pem(leaf(), issuer())
    assert verdict(chain, webhook_id="WEBHOOK_ID") == "signature.mismatch"
    assert verdict(chain, webhook_id="") == "signature.no_webhook_id"
    assert verdict(chain, signed(BODY, "")) == "signature.mismatch"


def test_another_key_of_the_right_size_signs_nothing() -> None:
    stranger = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    assert verdict(pem(leaf(), issuer()), signed(BODY, key=stranger)) == "signature.mismatch"


@pytest.mark.parametrize(
    ("header", "value", "found"),
    [
        ("paypal-transmission-id", "", "signature.missing"),
        ("paypal-transmission-time", "", "signature.missing"),
        ("paypal-transmission-sig", "", "signature.missing"),
        ("paypal-transmission-sig", "é", "signature.malformed"),
        ("paypal-transmission-sig", "YWJj", "signature.mismatch"),
        ("paypal-transmission-sig", "YWJ", "signature.malformed"),
        ("paypal-transmission-id", "\udcff", "signature.malformed"),
        ("paypal-transmission-id", "another", "signature.mismatch"),
        ("paypal-transmission-time", "2026-03-01T12:00:01Z", "signature.mismatch"),
        ("paypal-auth-algo", "SHA1withRSA", "signature.malformed"),
        ("paypal-cert-url", "https://example.com/cert", "signature.malformed"),
        ("paypal-cert-url", f"{URL}0", "signature.certificate_missing"),
    ],
)
def test_each_header_counts(header: str, value: str, found: str) -> None:
    assert verdict(pem(leaf(), issuer()), {**signed(BODY), header: value}) == found


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1a5f47cb", True),
        ("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1", True),
        ("https://api-m.paypal.com:443/v1/notifications/certs/CERT-1", True),
        ("https://paypal.com/cert", True),
        ("http://api.paypal.com/v1/notifications/certs/CERT-1", False),
        ("https://api.paypal.com:8443/cert", False),
        ("https://api.paypal.com.example.com/cert", False),
        ("https://apipaypal.com/cert", False),
        ("https://example.com/.paypal.com/cert", False),
        ("https://api.paypal.com@example.com/cert", False),
        ("https://example.com\\.paypal.com/cert", False),
        ("https://example.com#.paypal.com/cert", False),
        ("https://api.paypal.com/cert?url=https://example.com", False),
        ("https://api.paypal.com/cert\n", False),
        ("https://api.paypal.com/" + "a" * 500, False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_a_certificate_lies_on_a_host_of_paypals_only(url: str, is_allowed: bool) -> None:  # noqa: FBT001 - a table
    assert certificate_url({"paypal-cert-url": url}) == (url if is_allowed else "")
    assert isinstance(paypal, Certified)


def test_the_missing_issuer_lies_where_the_certificate_says() -> None:
    assert issuer_url(pem(leaf())) == ISSUER_URL
    for complete in (pem(leaf(), issuer()), pem(root()), pem(leaf(is_known=False)), b"", b"no certificate"):
        assert issuer_url(complete) == ""


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_a_chain_with_its_issuer_is_whole(encoding: Encoding) -> None:
    chain = with_issuer(pem(leaf()), issuer().public_bytes(encoding))
    assert issuer_url(chain) == ""
    assert verdict(chain) is None


def test_what_is_no_certificate_does_not_complete_a_chain() -> None:
    chain = pem(leaf())
    assert with_issuer(chain, b"<html>not found</html>").strip() == chain.strip()


def test_what_is_signed_is_what_paypals_own_library_signs() -> None:
    (path,) = recorded("signature/paypal-python-sdk-vector.json")
    vector = json.loads(path.read_bytes())
    raw = vector["event_body"].encode()
    parts = (vector["transmission_id"], vector["timestamp"], vector["webhook_id"], str(zlib.crc32(raw)))
    assert "|".join(parts) == vector["message_signed"]


def recorded_verdict(path: str, **changed: object) -> str | None:
    """The verdict on the vector with the certificates that lie beside it."""
    (vector_path,), chains = recorded(path), recorded("signature/*.pem")
    vector = {**json.loads(vector_path.read_bytes()), **changed}
    headers = {
        "paypal-transmission-id": vector["transmission_id"],
        "paypal-transmission-time": vector["timestamp"],
        "paypal-transmission-sig": vector["actual_signature"],
        "paypal-cert-url": vector["cert_url"],
        "paypal-auth-algo": "SHA256withRSA",
    }
    leaf_pem, *others = sorted(
        (each.read_bytes() for each in chains), key=lambda text: NAME.encode() not in _names(text)
    )
    roots = [text for text in others if _is_root(text)]
    issuers = b"\n".join(text for text in others if text not in roots).decode()
    trust = Trust(
        options={"webhook_id": vector["webhook_id"], "issuers": issuers, "roots": b"\n".join(roots).decode()},
        certificates={vector["cert_url"]: leaf_pem},
    )
    now = datetime.fromisoformat(vector["timestamp"]).astimezone(UTC)
    return paypal.verify(headers, str(vector["event_body"]).encode(), trust=trust, now=now)


def _names(text: bytes) -> bytes:
    return x509.load_pem_x509_certificate(text).subject.rfc4514_string().encode()


def _is_root(text: bytes) -> bool:
    certificate = x509.load_pem_x509_certificate(text)
    return certificate.subject == certificate.issuer


def test_the_recorded_message_verifies_at_its_time_and_with_one_byte_changed_does_not() -> None:
    path = "signature/paypal-python-sdk-vector.json"
    assert recorded_verdict(path) is None
    body = json.loads(recorded(path)[0].read_bytes())["event_body"]
    assert recorded_verdict(path, event_body=body[:-1] + " ") == "signature.mismatch"
    assert recorded_verdict(path, timestamp="2015-05-18T15:45:14Z") == "signature.mismatch"
