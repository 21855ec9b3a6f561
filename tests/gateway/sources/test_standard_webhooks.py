"""Signatures by Standard Webhooks, against the test vectors of its reference libraries where they are present."""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.errors import TerminalError
from gateway.sources.port import Reading, Trust, Unreadable
from gateway.sources.standard_webhooks import StandardWebhooks, verify
from tests.gateway.sources.conformance import NOW
from tests.gateway.sources.mapped import SECRET, encoded, recorded, settings, signed
from tests.gateway.sources.standard_webhooks_examples import SETTINGS, payment

RAW = encoded(payment("PAID", "12:00:00"))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = "whpk_" + b64encode(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def verdict(headers: Mapping[str, str], raw: bytes = RAW, *, secrets: tuple[str, ...] = (SECRET,)) -> str | None:
    return verify(headers, raw, trust=Trust(secrets=secrets), now=NOW)


def vectors() -> dict[str, Any]:
    (path,) = recorded("standard-webhooks", "vectors.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def of_vector(vector: Mapping[str, Any], **changed: str) -> dict[str, str]:
    told = {"id": vector["id"], "timestamp": str(vector["timestamp"]), "signature": vector["signature"], **changed}
    return {f"webhook-{name}": value for name, value in told.items()}


def verdict_on(
    vector: Mapping[str, Any], headers: Mapping[str, str], secret: str | None = None, late_s: int = 0
) -> Any:
    at = datetime.fromtimestamp(vector["timestamp"] + late_s, UTC)
    trust = Trust(secrets=(vector["secret"] if secret is None else secret,))
    return verify(headers, vector["body"].encode(), trust=trust, now=at)


def test_every_vector_of_the_reference_libraries_verifies() -> None:
    for vector in vectors()["vectors"]:
        assert verdict_on(vector, of_vector(vector)) is None
        assert verdict_on(vector, of_vector(vector), vector["secret"].removeprefix("whsec_")) is None
        several = f"v1,AAAA v1a,AAAA {vector['signature']} v2,AAAA"
        assert verdict_on(vector, of_vector(vector, signature=several)) is None


def test_every_negative_vector_of_the_reference_libraries_is_refused() -> None:
    found = vectors()
    vector = found["vectors"][0]
    wrong = next(each["signature"] for each in found["negative"] if "signature" in each)
    assert verdict_on(vector, of_vector(vector, signature=wrong)) == "signature.mismatch"
    for name in ("id", "timestamp", "signature"):
        assert verdict_on(vector, of_vector(vector, **{name: ""})) == "signature.missing"
    assert verdict_on(vector, of_vector(vector, timestamp="hello")) == "signature.malformed"
    assert verdict_on(vector, of_vector(vector), late_s=301) == "signature.too_old"
    assert verdict_on(vector, of_vector(vector), late_s=-301) == "signature.too_new"
    assert verdict_on(vector, of_vector(vector, signature="invalid_signature")) == "signature.malformed"
    assert verdict_on(vector, of_vector(vector, signature="v1,")) == "signature.malformed"
    for signature in (vector["signature"].replace("v1,", "v2,"), vector["signature"][:8]):
        assert verdict_on(vector, of_vector(vector, signature=signature)) == "signature.mismatch"
    for secret in ("", "whsec_", "whpk_", "whsec_===", "not base64"):
        assert verdict_on(vector, of_vector(vector), secret) == "signature.no_secret"


def test_secrets_without_padding_are_secrets() -> None:
    unpadded = next(each["secrets"] for each in vectors()["positive"] if "secrets" in each)
    for secret in unpadded:
        padded = secret + "=" * (-len(secret) % 4)
        assert verdict(signed(RAW, NOW, padded), secrets=(f"whsec_{secret}",)) is None


def test_any_of_several_secrets_may_have_signed() -> None:
    assert verdict(signed(RAW, NOW), secrets=("whsec_b2xk", SECRET)) is None
    assert verdict(signed(RAW, NOW), secrets=("whsec_b2xk",)) == "signature.mismatch"


@pytest.mark.parametrize(
    ("seconds", "refused"),
    [(300, None), (301, "signature.too_old"), (-300, None), (-301, "signature.too_new")],
)
def test_an_attempt_may_be_five_minutes_early_or_late(seconds: int, refused: str | None) -> None:
    assert verdict(signed(RAW, NOW - timedelta(seconds=seconds))) == refused


def test_the_first_names_of_the_headers_are_read_too() -> None:
    headers = {name.replace("webhook-", "svix-"): value for name, value in signed(RAW, NOW).items()}
    assert verdict(headers) is None


def asymmetric(raw: bytes = RAW, at: datetime = NOW) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = KEY.sign(f"msg_1.{timestamp}.".encode() + raw)
    told = f"v1a,{b64encode(signature).decode()}"
    return {"webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": told}


def test_a_signature_by_a_private_key_verifies_with_the_public_one() -> None:
    assert verdict(asymmetric(), secrets=(SECRET, PUBLIC_KEY)) is None
    for place in range(len(RAW)):
        forged = bytearray(RAW)
        forged[place] ^= 1
        assert verdict(asymmetric(), bytes(forged), secrets=(PUBLIC_KEY,)) == "signature.mismatch"


def test_a_public_key_is_no_secret() -> None:
    public = PUBLIC_KEY.removeprefix("whpk_")
    forged = signed(RAW, NOW, f"whsec_{public}")
    assert verdict(forged, secrets=(PUBLIC_KEY,)) == "signature.mismatch"
    assert verdict(asymmetric(), secrets=(f"whsec_{public}",)) == "signature.mismatch"


def test_a_secret_that_could_never_verify_anything_stops_the_start() -> None:
    toml = 'secrets = ["whsec_b2xk", "whsec_"]\n[mapping]\n[[mapping.facts]]\n'
    with pytest.raises(TerminalError, match=r"sources\.acquirer\.secrets\[1\]"):
        StandardWebhooks("acquirer", settings(toml + "kind = 'intent'\npayment = 'id'\nstatus = 'status'\n"))


def read(raw: bytes, headers: Mapping[str, str]) -> Reading | Unreadable:
    return StandardWebhooks("acquirer", SETTINGS).read(raw, headers=headers, ref="INGEST:7")


def test_the_webhooks_id_names_the_event_over_all_attempts() -> None:
    first = read(RAW, signed(RAW, NOW))
    again = read(RAW, signed(RAW, NOW + timedelta(hours=5)))
    assert isinstance(first, Reading)
    assert first == again
    assert first.facts[0].fact_id == "acquirer:msg_1"


def test_without_headers_content_names_the_fact() -> None:
    first, again = read(RAW, {}), read(RAW.replace(b"}", b" }"), {})
    assert isinstance(first, Reading)
    assert first == again
    assert first.facts[0].fact_id.startswith("acquirer:charge:pay_1:captured:4900:")


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", "body.not_json"), (b"[]", "body.wrong_shape"), (b"\xff", "body.not_utf8"), (b"[" * 10**5, "body.too_deep")],
)
def test_a_body_that_is_no_object_is_refused(raw: bytes, code: str) -> None:
    found = read(raw, {})
    assert isinstance(found, Unreadable)
    assert found.code == code


def test_every_recorded_body_ends_with_a_reason() -> None:
    """The vectors' bodies are no payments: nothing of them may get through the mapping."""
    for vector in vectors()["vectors"]:
        found = read(vector["body"].encode(), of_vector(vector))
        assert isinstance(found, Unreadable)
        assert found.code == "event.field_missing"
        assert "example.com" not in found.detail
