"""What an aggregate's state is, in one short name: equal states have equal hashes, whoever folded them, and when."""

import hashlib

import msgspec

_HASH_BYTES = 16


def state_hash(state: msgspec.Struct) -> str:
    """The hash of a state, 32 hexadecimal characters.

    The state's canonical form is its type's name and its JSON with fields and keys sorted, so neither the order in
    which a mapping was filled nor that of the fields in the code matters. Times are UTC (RFC 3339).
    """
    canonical = msgspec.json.encode(msgspec.to_builtins(state, str_keys=True, order="sorted"))
    content = type(state).__name__.encode() + b"\0" + canonical
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).hexdigest()
