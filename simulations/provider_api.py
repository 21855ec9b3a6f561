"""The part of Stripe's API that effects use, over the simulated provider's books (https://docs.stripe.com/api)."""

import random
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from simulations.provider_books import Books, RefusedError
from simulations.provider_clock import VirtualClock
from simulations.provider_idempotency import IdempotencyKeys, Reply, in_use
from simulations.provider_scenario import CallFault, Fates, Scenario
from simulations.stripe_customers import Rendered
from simulations.stripe_life import new_id
from simulations.stripe_objects import Charge

PAGE_DEFAULT = 10
PAGE_MAX = 100
_REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_CANCEL_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")

ListedT = TypeVar("ListedT")
Parameters = Mapping[str, Sequence[str]]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came; header names in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was made, for whoever looks: what was asked, what went wrong, what was answered."""

    method: str
    path: str
    payment_id: str
    idempotency_key: str
    fault: CallFault | None
    status: int
    replayed: bool


class StripeApi:
    """Answers calls.

    Args:
        books: what there is, and what may be done.
        scenario: the API key, the latency, what a 429 says.
        fates: what goes wrong.
        clock: the provider's time.
        rng: draws ids of requests.
        pause: waits that many seconds: the latency.
        is_delivered: whether an event's webhook was taken, for `delivery_success`.
    """

    def __init__(
        self,
        books: Books,
        scenario: Scenario,
        fates: Fates,
        clock: VirtualClock,
        rng: random.Random,
        pause: Callable[[float], Awaitable[None]],
        is_delivered: Callable[[str], bool],
    ) -> None:
        self.made: list[Made] = []
        self._books = books
        self._scenario = scenario
        self._fates = fates
        self._keys = IdempotencyKeys(clock)
        self._rng = rng
        self._pause = pause
        self._is_delivered = is_delivered
        self._numbers: dict[str, int] = {}

    async def answer(self, call: Call) -> Reply:
        """The answer to a call, whatever it is."""
        request_id = new_id(self._rng, "req_", 14)
        parameters = _parameters(call)
        payment_id = self._payment_id(call.path, parameters)
        fault: CallFault | None = None
        key = call.headers.get("idempotency-key", "") if call.method == "POST" else ""
        try:
            self._authenticate(call)
            fault = self._fates.of_call(f"{call.method} {call.path}", payment_id)
            self._refuse_early(fault, key)
            reply = await self._answer(call, parameters, key, request_id, fault)
        except RefusedError as refused:
            reply = self._refused(refused, request_id)
        self.made.append(
            Made(
                method=call.method,
                path=call.path,
                payment_id=payment_id,
                idempotency_key=key,
                fault=fault,
                status=0 if reply.hangs or reply.is_cut else reply.status,
                replayed="Idempotent-Replayed" in reply.headers,
            )
        )
        return reply

    def _authenticate(self, call: Call) -> None:
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                given = b64decode(given, validate=True).decode().partition(":")[0]
            except (Base64Error, UnicodeDecodeError):
                given = ""
        if given != self._scenario.api_key:
            raise RefusedError(401, f"Invalid API Key provided: {given[:7]}{'*' * 8}")

    def _refuse_early(self, fault: CallFault | None, key: str) -> None:
        """What is refused before the API looks at the idempotency key, so that no key keeps it."""
        if fault == "rate_limited":
            message = "Request rate limit exceeded. Learn more: https://docs.stripe.com/rate-limits"
            raise RefusedError(429, message, code="rate_limit")
        if fault == "unavailable":
            raise RefusedError(503, "Stripe is temporarily unavailable.", kind="api_error")
        if fault == "key_in_use" and key:
            raise in_use(key)
        if fault in {"locked", "key_in_use"}:
            message = (
                "This object cannot be accessed right now because another API request or Stripe process is currently "
                "accessing it."
            )
            raise RefusedError(409, message, code="lock_timeout")

    async def _answer(
        self, call: Call, parameters: Parameters, key: str, request_id: str, fault: CallFault | None
    ) -> Reply:
        if call.method == "POST":
            return await self._post(call, parameters, key, request_id, fault)
        await self._pause(self._scenario.latency_s)
        if fault in {"error_before", "error_after"}:
            raise _broken()
        return _unanswered(self._ok(self._get(call, parameters), request_id), fault)

    async def _post(
        self, call: Call, parameters: Parameters, key: str, request_id: str, fault: CallFault | None
    ) -> Reply:
        act = self._action(call.path, parameters)
        if fault in {"timeout_before", "cut_before"}:
            return _unanswered(self._ok({}, request_id), fault)
        kept = self._keys.begin(key, call.path, _fingerprint(parameters)) if key else None
        if kept is not None:
            return kept
        reply: Reply | None = None
        try:
            reply = self._ok(await self._execute(act, request_id, key, fault), request_id)
        except RefusedError as refused:
            reply = self._refused(refused, request_id)
        finally:
            if key and reply is None:
                self._keys.forget(key)
        if key:
            self._keys.keep(key, reply)
        return _unanswered(reply, fault)

    async def _execute(
        self, act: Callable[[str, str], Rendered], request_id: str, key: str, fault: CallFault | None
    ) -> Rendered:
        await self._pause(self._scenario.latency_s)
        if fault == "error_before":
            raise _broken()
        done = act(request_id, key)
        if fault == "error_after":
            raise _broken()
        return done

    def _action(self, path: str, parameters: Parameters) -> Callable[[str, str], Rendered]:
        """What a POST does. Raises `RefusedError` for one that cannot be begun."""
        match path.strip("/").split("/"):
            case ["v1", "refunds"]:
                _only(parameters, "payment_intent", "charge", "amount", "reason", "metadata")
                charge = self._refunded(parameters)
                amount = _number(parameters, "amount")
                reason = _choice(parameters, "reason", _REFUND_REASONS)
                metadata = _metadata(parameters)
                return lambda request_id, key: self._books.refund(
                    charge(), amount, reason, metadata, request_id=request_id, key=key
                ).rendered()
            case ["v1", "payment_intents", intent_id, "cancel"]:
                _only(parameters, "cancellation_reason")
                reason = _choice(parameters, "cancellation_reason", _CANCEL_REASONS)
                return lambda request_id, key: self._books.cancel(
                    _found(self._books.intent(intent_id), "payment_intent", intent_id, "intent"),
                    reason,
                    request_id=request_id,
                    key=key,
                ).rendered()
        raise _unrecognised("POST", path)

    def _refunded(self, parameters: Parameters) -> Callable[[], Charge]:
        """The charge that a refund names, looked up when the refund is made."""
        intent_id, charge_id = _text(parameters, "payment_intent"), _text(parameters, "charge")
        if not intent_id and not charge_id:
            message = "One of the following params should be provided for this request: payment_intent or charge."
            raise RefusedError(400, message, code="parameter_missing")

        def charge() -> Charge:
            wanted = charge_id
            if intent_id:
                intent = _found(self._books.intent(intent_id), "payment_intent", intent_id, "payment_intent")
                wanted = intent.latest_charge or ""
                if intent.status != "succeeded":
                    message = f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
                    raise RefusedError(400, message, code="payment_intent_unexpected_state")
            found = _found(self._books.charge(wanted), "charge", wanted, "charge")
            if not found.is_captured or found.status != "succeeded":
                raise RefusedError(400, f"Charge {wanted} cannot be refunded.", code="charge_not_refundable")
            return found

        return charge

    def _get(self, call: Call, parameters: Parameters) -> Rendered:
        books = self._books
        match call.path.strip("/").split("/"):
            case ["v1", "payment_intents", intent_id]:
                intent = _found(books.intent(intent_id), "payment_intent", intent_id, "intent").rendered()
                charge = books.charge(str(intent["latest_charge"]))
                expanded = _expanded(parameters, "latest_charge") and charge is not None
                return {**intent, "latest_charge": charge.rendered()} if expanded and charge else intent
            case ["v1", "charges", charge_id]:
                return _found(books.charge(charge_id), "charge", charge_id, "id").rendered()
            case ["v1", "refunds", refund_id]:
                return _found(books.refund_of(refund_id), "refund", refund_id, "id").rendered()
            case ["v1", "charges" | "refunds" | "disputes" as kind]:
                return _page(f"/v1/{kind}", self._of_payment(kind, parameters), parameters)
            case ["v1", "events"]:
                return self._events(parameters)
        raise _unrecognised(call.method, call.path)

    def _of_payment(self, kind: str, parameters: Parameters) -> list[Rendered]:
        """Objects of all payments or of one, newest first."""
        wanted, charge_id = _text(parameters, "payment_intent"), _text(parameters, "charge")
        charge = self._books.charge(charge_id) if charge_id else None
        wanted = wanted or (charge.intent.id if charge is not None else charge_id)
        of_one = self._books.lives.get(wanted)
        lives = [*self._books.lives.values()] if not wanted else [of_one] if of_one is not None else []
        objects: list[Rendered] = []
        for life in lives:
            of_kind: Mapping[str, Mapping[str, object]] = {
                "charges": life.charges,
                "refunds": life.refunds,
                "disputes": life.disputes,
            }
            objects += [getattr(each, "rendered")() for each in of_kind[kind].values()]  # noqa: B009 - all three have it
        return sorted(objects, key=lambda each: str(each["created"]), reverse=True)

    def _events(self, parameters: Parameters) -> Rendered:
        """A page of the events, newest first; only what is on it is looked at, because there may be very many."""
        types = {*parameters.get("types[]", ()), *parameters.get("type", ())}
        since = _number(parameters, "created[gte]") or 0
        delivered = _text(parameters, "delivery_success")
        limit = min(max(_number(parameters, "limit") or PAGE_DEFAULT, 1), PAGE_MAX)
        newer, older = _text(parameters, "ending_before"), _text(parameters, "starting_after")
        events = self._books.events
        if newer:
            chosen = islice(events, self._event_number(newer, "ending_before") + 1, None)
        else:
            last = self._event_number(older, "starting_after") if older else len(events)
            chosen = islice(reversed(events), len(events) - last, None)
        found = list(
            islice(
                (
                    event
                    for event in chosen
                    if (not types or event.event_type in types)
                    and int(event.emitted_at.timestamp()) >= since
                    and (not delivered or self._is_delivered(event.event_id) == (delivered == "true"))
                ),
                limit + 1,
            )
        )
        page = found[:limit]
        data = [msgspec.json.decode(event.body) for event in (reversed(page) if newer else page)]
        return {"object": "list", "url": "/v1/events", "has_more": len(found) > limit, "data": data}

    def _event_number(self, event_id: str, param: str) -> int:
        """Where an event stands in the books, from 0."""
        for number in range(len(self._numbers), len(self._books.events)):
            self._numbers[self._books.events[number].event_id] = number
        if event_id not in self._numbers:
            raise RefusedError(400, f"No such object: '{event_id}'", code="resource_missing", param=param)
        return self._numbers[event_id]

    def _payment_id(self, path: str, parameters: Parameters) -> str:
        """Which payment a call is about, as far as it says so."""
        match path.strip("/").split("/"):
            case ["v1", "payment_intents", intent_id, *_]:
                return intent_id
            case ["v1", "charges", charge_id]:
                charge = self._books.charge(charge_id)
                return charge.intent.id if charge is not None else ""
        return _text(parameters, "payment_intent")

    def _ok(self, body: Rendered, request_id: str) -> Reply:
        return Reply(status=200, body=msgspec.json.encode(body), headers={"Request-Id": request_id})

    def _refused(self, refused: RefusedError, request_id: str) -> Reply:
        """https://docs.stripe.com/api/errors."""
        error: Rendered = {
            "message": refused.message,
            "request_log_url": f"https://dashboard.stripe.com/logs/{request_id}",
            "type": refused.kind,
        }
        if refused.code:
            doc_url = f"https://stripe.com/docs/error-codes/{refused.code.replace('_', '-')}"
            error |= {"code": refused.code, "doc_url": doc_url}
        if refused.param:
            error["param"] = refused.param
        if refused.payment_id:
            error["payment_intent"] = self._books.lives[refused.payment_id].intent.rendered()
        headers = {"Request-Id": request_id}
        if refused.status == 429:
            headers["Retry-After"] = str(self._scenario.retry_after_s)
        return Reply(status=refused.status, body=msgspec.json.encode({"error": error}), headers=headers)


def _parameters(call: Call) -> dict[str, list[str]]:
    parsed: dict[str, list[str]] = {}
    body = call.body.decode(errors="replace") if call.method == "POST" else ""
    for name, value in [*parse_qsl(call.query, keep_blank_values=True), *parse_qsl(body, keep_blank_values=True)]:
        parsed.setdefault(name, []).append(value)
    return parsed


def _fingerprint(parameters: Parameters) -> str:
    return msgspec.json.encode(sorted(parameters.items())).decode()


def _text(parameters: Parameters, name: str) -> str:
    return next(iter(parameters.get(name, ())), "")


def _number(parameters: Parameters, name: str) -> int | None:
    given = _text(parameters, name)
    if not given:
        return None
    if not given.isdecimal() or (name == "amount" and int(given) < 1):
        raise RefusedError(400, f"Invalid integer: {given}", code="parameter_invalid_integer", param=name)
    return int(given)


def _choice(parameters: Parameters, name: str, allowed: Sequence[str]) -> str | None:
    given = _text(parameters, name)
    if given and given not in allowed:
        raise RefusedError(400, f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
    return given or None


def _metadata(parameters: Parameters) -> dict[str, str]:
    return {
        name.removeprefix("metadata[").removesuffix("]"): values[-1]
        for name, values in parameters.items()
        if name.startswith("metadata[")
    }


def _only(parameters: Parameters, *known: str) -> None:
    for name in parameters:
        if name.partition("[")[0] not in known:
            raise RefusedError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def _expanded(parameters: Parameters, name: str) -> bool:
    wanted = parameters.get("expand[]", ())
    for each in wanted:
        if each != name:
            raise RefusedError(400, f"This property cannot be expanded ({each}).", param="expand")
    return name in wanted


def _found(found: ListedT | None, kind: str, object_id: str, param: str) -> ListedT:
    if found is None:
        raise RefusedError(404, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)
    return found


def _page(url: str, objects: Iterable[Rendered], parameters: Parameters) -> Rendered:
    """A page of a list, newest first (https://docs.stripe.com/api/pagination)."""
    found = [*objects]
    names = [each["id"] for each in found]
    limit = min(max(_number(parameters, "limit") or PAGE_DEFAULT, 1), PAGE_MAX)
    for name in ("starting_after", "ending_before"):
        cursor = _text(parameters, name)
        if cursor and cursor not in names:
            raise RefusedError(400, f"No such object: '{cursor}'", code="resource_missing", param=name)
    if newer := _text(parameters, "ending_before"):
        found = found[: names.index(newer)]
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": found[-limit:]}
    if older := _text(parameters, "starting_after"):
        found = found[names.index(older) + 1 :]
    return {"object": "list", "url": url, "has_more": len(found) > limit, "data": found[:limit]}


def _unanswered(reply: Reply, fault: CallFault | None) -> Reply:
    """The reply as its caller meets it."""
    return msgspec.structs.replace(
        reply,
        hangs=fault in {"timeout_before", "timeout_after"},
        is_cut=fault in {"cut_before", "cut_after"},
    )


def _unrecognised(method: str, path: str) -> RefusedError:
    return RefusedError(404, f"Unrecognized request URL ({method}: {path}).")


def _broken() -> RefusedError:
    return RefusedError(500, "An unknown error occurred", kind="api_error")
