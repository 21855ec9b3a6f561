"""Names of streams, and the rules for the ids that come from outside."""

import re
from typing import Literal, NewType

StreamId = NewType("StreamId", str)

Category = Literal[
    "payment",
    "webhook",
    "document",
    "index",
    "answer",
    "conversation",
    "poll",
    "effect",
    "remediation",
    "incident",
]

TENANT_RE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SOURCE_RE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# Printable ASCII without the separators of a stream id, a path and a NATS subject.
_ID_RE = re.compile(r"[A-Za-z0-9_.:@=+~-]{1,200}")


def is_tenant(text: str) -> bool:
    """Whether `text` may name a tenant: lower-case letters, digits and hyphens, 1 to 63 characters (RFC 1123 label)."""
    return TENANT_RE.fullmatch(text) is not None


def is_object_id(text: str) -> bool:
    """Whether `text` may be a payment's, customer's or document's id: 1 to 200 characters, safe in a path."""
    return _ID_RE.fullmatch(text) is not None and text not in {".", ".."}


def stream_id(category: Category, tenant: str, key: str) -> StreamId:
    """The stream of one aggregate: `payment:acme/pi_1`. Keys never cross tenants, because the tenant is in the name."""
    return StreamId(f"{category}:{tenant}/{key}")


def split_stream_id(stream: str) -> tuple[str, str, str]:
    """`payment:acme/pi_1` -> `("payment", "acme", "pi_1")`."""
    category, _, rest = stream.partition(":")
    tenant, _, key = rest.partition("/")
    return category, tenant, key
