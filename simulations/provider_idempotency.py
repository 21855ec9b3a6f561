"""Idempotency keys as Stripe documents them: https://docs.stripe.com/api/idempotent_requests and /error-low-level.

The answer to the first call with a key is kept, 500s among them, and is the answer to every later one, for 24 hours at
least. The same key with other parameters is an error, and so is its use while the first call is still worked on. What
never began to be worked on (authentication, parameters, rate limits) is not kept.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from simulations.provider_books import RefusedError

KEPT_FOR = timedelta(hours=24)
KEY_CHARS_MAX = 255


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the API answers; with `hangs` it never does, and with `is_cut` the connection ends without an answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    hangs: bool = False
    is_cut: bool = False


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    parameters: str
    at: datetime
    reply: Reply | None = None


class IdempotencyKeys:
    """The keys of one account."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def begin(self, key: str, path: str, parameters: str) -> Reply | None:
        """The answer that is kept for a key, or `None` and the key is in use until `keep` or `forget`.

        Raises `RefusedError` (`idempotency_error`).
        """
        if len(key) > KEY_CHARS_MAX:
            message = f"Idempotency keys can have at most {KEY_CHARS_MAX} characters."
            raise RefusedError(400, message, kind="idempotency_error")
        kept = self._kept.get(key)
        if kept is not None and self._clock() - kept.at >= KEPT_FOR and kept.reply is not None:
            kept = None
        if kept is None:
            self._kept[key] = _Kept(path=path, parameters=parameters, at=self._clock())
            return None
        if kept.path != path:
            message = (
                f"Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{path}' vs '{kept.path}'). Try using a key other than '{key}' if you meant to execute a different "
                "request."
            )
            raise RefusedError(400, message, kind="idempotency_error")
        if kept.parameters != parameters:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
                f"using a key other than '{key}' if you meant to execute a different request."
            )
            raise RefusedError(400, message, kind="idempotency_error")
        if kept.reply is None:
            raise in_use(key)
        return msgspec.structs.replace(kept.reply, headers={**kept.reply.headers, "Idempotent-Replayed": "true"})

    def keep(self, key: str, reply: Reply) -> None:
        """The call is done, and this is its answer from now on."""
        self._kept[key] = msgspec.structs.replace(self._kept[key], reply=reply)

    def forget(self, key: str) -> None:
        """The call was never worked on."""
        del self._kept[key]


def in_use(key: str) -> RefusedError:
    """What is answered while another call with the same key is worked on."""
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later."
    )
    return RefusedError(409, message, code="idempotency_key_in_use", kind="idempotency_error")
