"""The simulated chat of a Zalo Official Account: consultation messages to customers who have written.

`POST /v3.0/oa/message/cs` and `GET /v2.0/oa/conversation` (https://developers.zalo.me/docs/official-account). As at
Zalo, an error is in the body of an answer that is 200 itself, and there is no idempotency key: what is sent twice is
read twice.
"""

from datetime import datetime, timedelta
from urllib.parse import parse_qsl

import msgspec

from simulations.provider_api import Call
from simulations.provider_clock import VirtualClock
from simulations.provider_idempotency import Reply
from simulations.provider_scenario import CallFault, Fates

# "Official Account cannot response to user after 48 hours" (-305).
WINDOW = timedelta(hours=48)
TEXT_CHARS_MAX = 2_000
PAGE_MAX = 10


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a conversation; `is_from_account` where the account wrote it."""

    message_id: str
    user_id: str
    text: str
    at: datetime
    is_from_account: bool


class _Recipient(msgspec.Struct):
    user_id: str


class _Text(msgspec.Struct):
    text: str


class _Message(msgspec.Struct):
    recipient: _Recipient
    message: _Text


class _Wanted(msgspec.Struct):
    user_id: int | str
    offset: int = 0
    count: int = 1


class ZaloApi:
    """One account's conversations.

    Args:
        token: the access token that calls must bring.
        fates: what goes wrong: the faults of calls, as far as they make sense here.
        clock: the provider's time.
    """

    def __init__(self, token: str, fates: Fates, clock: VirtualClock) -> None:
        self.said: list[Said] = []
        self._token = token
        self._fates = fates
        self._clock = clock

    def hear(self, user_id: str, text: str) -> Said:
        """A customer writes, which opens the window."""
        return self._say(user_id, text, is_from_account=False)

    def answer(self, call: Call) -> Reply:
        """The answer to a call, whatever it is."""
        fault = self._fates.of_call(f"{call.method} {call.path}", "")
        if fault in {"unavailable", "error_before"}:
            return Reply(status=503, body=b"")
        if fault in {"rate_limited", "locked"}:
            return _error(-32, "Your application reached limit call api")
        if call.headers.get("access_token") != self._token:
            return _error(-216, "Access token is invalid")
        if fault == "timeout_before":
            return Reply(status=200, body=b"", hangs=True)
        return self._after(fault, self._done(call))

    def _done(self, call: Call) -> Reply:
        match call.method, call.path:
            case "POST", "/v3.0/oa/message/cs":
                return self._send(call.body)
            case "GET", "/v2.0/oa/conversation":
                return self._list(call.query)
        return Reply(status=404, body=b"")

    def _after(self, fault: CallFault | None, reply: Reply) -> Reply:
        if fault == "timeout_after":
            return msgspec.structs.replace(reply, hangs=True)
        return Reply(status=500, body=b"") if fault == "error_after" else reply

    def _send(self, body: bytes) -> Reply:
        try:
            sent = msgspec.json.decode(body, type=_Message)
        except msgspec.DecodeError as error:
            return _error(-201, f"Params is invalid: {error}")
        if not 0 < len(sent.message.text) <= TEXT_CHARS_MAX:
            return _error(-201, "Params is invalid: text")
        heard = [each.at for each in self.said if each.user_id == sent.recipient.user_id and not each.is_from_account]
        if not heard:
            return _error(-201, "User id is invalid")
        if self._clock() - max(heard) > WINDOW:
            return _error(-305, "Official Account cannot response to user after 48 hours")
        said = self._say(sent.recipient.user_id, sent.message.text, is_from_account=True)
        return _ok({"message_id": said.message_id, "user_id": said.user_id})

    def _list(self, query: str) -> Reply:
        """The last messages of a conversation, newest first."""
        parameters = dict(parse_qsl(query))
        try:
            wanted = msgspec.json.decode(parameters.get("data", "{}"), type=_Wanted)
        except msgspec.DecodeError as error:
            return _error(-201, f"Params is invalid: {error}")
        if not 0 < wanted.count <= PAGE_MAX:
            return _error(-201, "Params is invalid: count")
        found = [each for each in reversed(self.said) if each.user_id == str(wanted.user_id)]
        return _ok(
            [
                {
                    "src": 0 if each.is_from_account else 1,
                    "time": int(each.at.timestamp() * 1_000),
                    "message_id": each.message_id,
                    "message": each.text,
                    "type": "text",
                }
                for each in found[wanted.offset : wanted.offset + wanted.count]
            ]
        )

    def _say(self, user_id: str, text: str, *, is_from_account: bool) -> Said:
        said = Said(
            message_id=f"{len(self.said) + 1:020x}",
            user_id=user_id,
            text=text,
            at=self._clock(),
            is_from_account=is_from_account,
        )
        self.said.append(said)
        return said


def _ok(data: object) -> Reply:
    return Reply(status=200, body=msgspec.json.encode({"error": 0, "message": "Success", "data": data}))


def _error(code: int, message: str) -> Reply:
    return Reply(status=200, body=msgspec.json.encode({"error": code, "message": message}))
