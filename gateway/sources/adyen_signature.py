"""How Adyen signs, in both of its kinds of webhooks: HMAC-SHA256 in base64, with a key in hexadecimal."""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence

from gateway.sources.port import Trust


def keys_of(secrets: Sequence[str]) -> list[bytes]:
    """The keys that secrets in hexadecimal stand for. One that is none, or empty, is no key: anyone could sign."""
    keys = []
    for secret in secrets:
        try:
            keys.append(bytes.fromhex(secret))
        except ValueError:
            continue
    return [key for key in keys if key]


def is_signed(payload: bytes, signature: str, keys: Sequence[bytes]) -> bool:
    """Whether one of the keys made the signature."""
    given = signature.encode(errors="replace")
    return any(
        hmac.compare_digest(binascii.b2a_base64(hmac.digest(key, payload, "sha256"), newline=False), given)
        for key in keys
    )


def is_authorized(headers: Mapping[str, str], trust: Trust) -> bool:
    """Whether the sender knows the user and password of the option `basic_auth`; nobody is asked if there is none."""
    expected = trust.options.get("basic_auth", "")
    if not expected:
        return True
    scheme, _, given = headers.get("authorization", "").partition(" ")
    known = base64.b64encode(expected.encode())
    return scheme.lower() == "basic" and hmac.compare_digest(known, given.strip().encode(errors="replace"))
