"""Standard Webhooks 1.0.0 (https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).

The signature is the standard's, the body is the provider's own JSON: a mapping reads it. `webhook-id` is the same over
all attempts, so it names the event.
"""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.errors import Rejection, TerminalError
from domain.tenant_settings import SourceSettings
from gateway.sources.mapping import map_record
from gateway.sources.mapping_records import decoded_record, mapping_of
from gateway.sources.port import Acknowledgement, Reading, Trust, Unreadable

KIND = "standard-webhooks"
SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with, not a secret
PUBLIC_KEY_PREFIX = "whpk_"

# The names of the standard, and those of the service that it came from (https://docs.svix.com/receiving/verifying-payloads).
_HEADER_PREFIXES = ("webhook-", "svix-")
_TIMESTAMP_RE = re.compile(r"[0-9]{1,12}")


def verify(headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
    """Check `webhook-id`, `webhook-timestamp` and `webhook-signature`. `None` if genuine.

    A signature `v1` is an HMAC-SHA256 by a secret (`whsec_`), `v1a` an Ed25519 signature by a public key (`whpk_`); any
    of those given by any of the secrets is enough. The time of the attempt is signed and may lie `tolerance_s` before
    or after ours. Codes: `signature.missing`, `signature.malformed`, `signature.no_secret`, `signature.mismatch`,
    `signature.too_old`, `signature.too_new`.
    """
    prefix = next((each for each in _HEADER_PREFIXES if f"{each}signature" in headers), _HEADER_PREFIXES[0])
    message_id, attempted_at, given = (headers.get(f"{prefix}{each}", "") for each in ("id", "timestamp", "signature"))
    if not message_id or not attempted_at or not given:
        return "signature.missing"
    signatures = [(version, signature) for version, comma, signature in _parts(given) if comma and signature]
    if not signatures or _TIMESTAMP_RE.fullmatch(attempted_at) is None:
        return "signature.malformed"
    keys = [(each.startswith(PUBLIC_KEY_PREFIX), key) for each in trust.secrets if (key := _key(each))]
    if not keys:
        return "signature.no_secret"
    payload = f"{message_id}.{attempted_at}.".encode(errors="replace") + raw
    if not any(
        _is_signed(version, signature, key, payload, is_public=is_public)
        for version, signature in signatures
        for is_public, key in keys
    ):
        return "signature.mismatch"
    age_s = now.timestamp() - int(attempted_at)
    if age_s > trust.tolerance_s:
        return "signature.too_old"
    return "signature.too_new" if -age_s > trust.tolerance_s else None


def signature(secret: str, message_id: str, attempted_at: int, raw: bytes) -> str:
    """What `webhook-signature` says of a message that we send: `v1,` and an HMAC-SHA256 by a secret (`whsec_`).

    `attempted_at` is the `webhook-timestamp`, in seconds. Raises `TerminalError` for a secret that is not base64.
    """
    key = _key(secret)
    if not key:
        raise TerminalError(f"a secret of an endpoint is not base64 after {SECRET_PREFIX} or nothing at all")
    return f"v1,{b64encode(hmac.digest(key, f'{message_id}.{attempted_at}.'.encode() + raw, 'sha256')).decode()}"


def _parts(given: str) -> Iterator[tuple[str, str, str]]:
    return (each.partition(",") for each in given.split())


def _key(secret: str) -> bytes:
    """The bytes of a secret or a public key; empty, which trusts nobody, for what is neither."""
    encoded = secret.removeprefix(SECRET_PREFIX).removeprefix(PUBLIC_KEY_PREFIX).rstrip("=")
    try:
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (Base64Error, ValueError):
        return b""


def _is_signed(version: str, signature: str, key: bytes, payload: bytes, *, is_public: bool) -> bool:
    try:
        given = b64decode(signature, validate=True)
        if version == "v1" and not is_public:
            return hmac.compare_digest(hmac.digest(key, payload, "sha256"), given)
        if version == "v1a" and is_public:
            Ed25519PublicKey.from_public_bytes(key).verify(given, payload)
            return True
    except (Base64Error, ValueError, InvalidSignature):
        return False
    return False


def check_secrets(name: str, settings: SourceSettings) -> None:
    """Raises `TerminalError` that names the key if a secret could never verify anything."""
    for number, secret in enumerate(settings.secrets):
        if not _key(secret):
            raise TerminalError(f"sources.{name}.secrets[{number}]: not base64 after {SECRET_PREFIX} or nothing at all")


class StandardWebhooks:
    """One source of this kind. The mapping sees the body, and `webhook.id` and `webhook.timestamp` of its headers.

    By default the event's id is `webhook.id`, its type `type`, and it occurred at `timestamp`.
    """

    acknowledgement = Acknowledgement()

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self.name = name
        check_secrets(name, settings)
        self._with_id = mapping_of(name, settings, event_id="webhook.id", event_type="type", occurred_at="timestamp")
        self._without_id = mapping_of(name, settings, event_type="type", occurred_at="timestamp")

    def verify(self, headers: Mapping[str, str], raw: bytes, *, trust: Trust, now: datetime) -> str | None:
        return verify(headers, raw, trust=trust, now=now)

    def read(self, raw: bytes, *, headers: Mapping[str, str], ref: str) -> Reading | Unreadable:
        """The facts of the body. Published straight to NATS there is no `webhook-id`: content names the facts then."""
        try:
            record = decoded_record(raw)
        except Rejection as refused:
            return Unreadable(code=refused.code, detail=refused.detail)
        told = {
            each: headers[f"{prefix}{each}"].encode(errors="replace").decode()
            for prefix in reversed(_HEADER_PREFIXES)
            for each in ("id", "timestamp")
            if f"{prefix}{each}" in headers
        }
        mapping = self._with_id if "id" in told else self._without_id
        return map_record(mapping, {**record, "webhook": told}, provider=self.name, source="webhook", ref=ref)
