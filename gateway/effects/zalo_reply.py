"""Replies in a Zalo chat: consultation messages of an Official Account, within 48 hours of the customer's last message.

`POST https://openapi.zalo.me/v3.0/oa/message/cs`, described at
https://developers.zalo.me/docs/official-account/tin-nhan/tin-tu-van. Zalo knows no idempotency keys, so the
conversation is read first: what was said already is not said again, whatever became of the attempt before.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx
import msgspec
import structlog

from domain.effects import Done, Effect, Failed, not_asked
from gateway.effects.http import TIMEOUT_S, away, exchange

BASE_URL = "https://openapi.zalo.me"
# What a consultation message may hold; a longer text is cut at a word.
TEXT_CHARS_MAX = 2_000
# The conversation is read a page at a time, and Zalo gives ten messages at most.
CONVERSATION_PAGE = 10
_PREFIX = "zalo:"
WINDOW = timedelta(hours=48)
# By how much the clocks of both sides may differ.
SKEW = timedelta(minutes=1)

# Zalo's error codes, which come in the body of an answer that is 200: the vendor's list, as the package zalo-sdk (PyPI)
# repeats it.
_CLOSED = frozenset({-230, -232, -305})
_QUOTA = frozenset({-211, -218, -311, -321})
_RATE_LIMITED = frozenset({-32})
_TOKEN = frozenset({-124, -216, -220})
_INTERNAL = frozenset({-100, -200})

log = structlog.get_logger("effects")


class ZaloAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Where an Official Account is reached, and with which access token."""

    access_token: str
    base_url: str = BASE_URL


class _Data(msgspec.Struct):
    message_id: str = ""


class _Answer(msgspec.Struct):
    error: int
    data: _Data = msgspec.field(default_factory=_Data)


class _Said(msgspec.Struct):
    """A message of a conversation: `src` is 0 where the account wrote it, `time` in milliseconds."""

    src: int
    time: int
    message: str = ""
    message_id: str = ""


class _Conversation(msgspec.Struct):
    error: int
    data: list[_Said] = []


class ZaloReply:
    """Performs `reply` in conversations `zalo:<user id>`.

    Args:
        client: sends.
        accounts: by tenant.
        timeout_s: how long each call may take.
        clock: the time.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        accounts: Mapping[str, ZaloAccount],
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._accounts = accounts
        self._timeout_s = timeout_s
        self._clock = clock

    async def perform(self, effect: Effect) -> Done | Failed:
        """Say it.

        Retryable: no answer, 5xx, and Zalo's codes for a rate limit, an internal error and a token that has expired.
        Not retryable: `window.closed`, `zalo.<code>` otherwise, `effect.account_unknown`, `effect.recipient_unknown`.
        """
        account = self._accounts.get(effect.tenant)
        if account is None:
            return not_asked("effect.account_unknown")
        user_id = effect.to.removeprefix(_PREFIX)
        if not effect.to.startswith(_PREFIX) or ":" in user_id:
            # Whoever wrote without being logged in has no id to write to (`zalo:anonymous:<conversation>`).
            return not_asked("effect.recipient_unknown")
        if effect.not_after is not None and self._clock() > effect.not_after:
            return not_asked("window.closed")
        text = shortened(effect.text)
        # The window closes 48 hours after what is answered; unlike `due_at`, that end stays where it is.
        since = (effect.not_after or self._clock()) - WINDOW - SKEW
        said = await self._was_said(account, user_id, text, since)
        if isinstance(said, Failed):
            return said
        if said:
            log.info("reply_found_sent", tenant=effect.tenant, to=effect.to, key=effect.key, message_id=said)
            return Done(reference=said)
        return await self._say(account, user_id, text)

    async def _say(self, account: ZaloAccount, user_id: str, text: str) -> Done | Failed:
        wanted = {"recipient": {"user_id": user_id}, "message": {"text": text}}
        raw = await self._ask(account, "POST", "/v3.0/oa/message/cs", msgspec.json.encode(wanted))
        if isinstance(raw, Failed):
            return raw
        try:
            answer = msgspec.json.decode(raw, type=_Answer)
        except msgspec.DecodeError:
            # It may have been said: the next attempt looks.
            return Failed(retryable=True, reason="zalo.unreadable")
        if answer.error:
            return _failure(answer.error)
        return Done(reference=answer.data.message_id)

    async def _was_said(self, account: ZaloAccount, user_id: str, text: str, since: datetime) -> str | Failed:
        """The id of the account's message with this text that was sent since then, empty if there is none."""
        wanted = msgspec.json.encode({"user_id": user_id, "offset": 0, "count": CONVERSATION_PAGE}).decode()
        raw = await self._ask(account, "GET", f"/v2.0/oa/conversation?{urlencode({'data': wanted})}")
        if isinstance(raw, Failed):
            return raw
        try:
            conversation = msgspec.json.decode(raw, type=_Conversation)
        except msgspec.DecodeError:
            return Failed(retryable=True, reason="zalo.unreadable")
        if conversation.error:
            return _failure(conversation.error)
        since_ms = since.timestamp() * 1_000
        return next(
            (
                each.message_id
                for each in conversation.data
                if each.src == 0 and each.time >= since_ms and each.message == text
            ),
            "",
        )

    async def _ask(self, account: ZaloAccount, method: str, path: str, content: bytes | None = None) -> bytes | Failed:
        """The body of an answer, whatever it says."""
        url = f"{account.base_url.rstrip('/')}{path}"
        headers = {"access_token": account.access_token, "Content-Type": "application/json"}
        response = await exchange(
            self._client, method, url, headers=headers, timeout_s=self._timeout_s, content=content
        )
        if isinstance(response, Failed):
            return response
        if (failed := away(response, self._clock())) is not None:
            return failed
        if not response.is_success:
            return Failed(retryable=False, reason=f"http.{response.status}", is_account_at_fault=False)
        return response.body


def shortened(text: str) -> str:
    """A text as it fits in a message."""
    if len(text) <= TEXT_CHARS_MAX:
        return text
    return text[: TEXT_CHARS_MAX - 1].rsplit(maxsplit=1)[0] + "\N{HORIZONTAL ELLIPSIS}"


def _failure(code: int) -> Failed:
    if code in _CLOSED:
        return Failed(retryable=False, reason="window.closed", is_account_at_fault=False)
    reason = f"zalo.{code}"
    if code in _RATE_LIMITED | _TOKEN | _INTERNAL:
        return Failed(retryable=True, reason=reason)
    if code in _QUOTA:
        return Failed(retryable=False, reason="zalo.quota_exceeded", is_account_at_fault=False)
    return Failed(retryable=False, reason=reason, is_account_at_fault=False)
