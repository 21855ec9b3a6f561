"""Effects at Stripe: read a payment, cancel it, release what is held, refund (https://docs.stripe.com/api).

Each is done at most once per key. The key goes along as `Idempotency-Key`, which Stripe keeps for 24 hours, and a
refund bears it as metadata, by which it is found afterwards: a refund is looked for before it is made.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

import httpx
import msgspec
import structlog

from domain.effects import Done, Effect, Failed, not_asked
from domain.errors import TerminalError
from gateway.effects.http import TIMEOUT_S, Response, away, exchange
from gateway.effects.stripe_reading import date_of, facts_made, facts_read, found_of, page_of, refusal

BASE_URL = "https://api.stripe.com"
# The version whose objects the source is tested with; a newer one may render others.
API_VERSION = "2024-12-18.acacia"
KEY_METADATA = "recount_effect"
PAGE_MAX = 100
PAGES_MAX = 20

log = structlog.get_logger("effects")


class StripeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Where an account is reached, and with which (restricted) key."""

    api_key: str
    base_url: str = BASE_URL


class StripePort:
    """Performs `pull`, `cancel`, `void` and `refund`.

    Args:
        client: sends.
        accounts: by tenant and by the name of its source (`Effect.provider`).
        timeout_s: how long each call may take.
        clock: the time, for waits that are told as a time.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        accounts: Mapping[tuple[str, str], StripeAccount],
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._accounts = accounts
        self._timeout_s = timeout_s
        self._clock = clock

    async def perform(self, effect: Effect) -> Done | Failed:
        """Do it.

        Retryable: no answer, 409, 429, 5xx, and a key that Stripe does not accept (401, 403). Not retryable: any other
        4xx, by Stripe's own code (`stripe.charge_already_refunded`); `stripe.idempotency_error`, which says that one
        key was used for two things; `stripe.error_kept`, a 5xx that Stripe keeps under the key, of which only Stripe
        knows whether anything was done; `stripe.unreadable`; `effect.account_unknown`; `effect.kind_unknown`.
        """
        account = self._accounts.get((effect.tenant, effect.provider))
        if account is None:
            return not_asked("effect.account_unknown")
        calls = _Calls(self._client, account, self._timeout_s, self._clock)
        try:
            match effect.kind:
                case "pull":
                    return await _pull(calls, effect)
                case "refund":
                    return await _refund(calls, effect)
                case "cancel" | "void":
                    return await _cancel(calls, effect)
                case _:
                    return not_asked("effect.kind_unknown")
        except TerminalError as error:
            log.warning("effect_answer_unreadable", tenant=effect.tenant, key=effect.key, reason=error.reason)
            return Failed(retryable=False, reason="stripe.unreadable", is_account_at_fault=False)


class _Calls:
    """Calls of one account's API."""

    def __init__(
        self, client: httpx.AsyncClient, account: StripeAccount, timeout_s: float, clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._base_url = account.base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._clock = clock
        credential = b64encode(f"{account.api_key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {credential}", "Stripe-Version": API_VERSION}
        self._answered_at: datetime | None = None

    @property
    def answered_at(self) -> datetime:
        """When the first call was answered, by Stripe's clock, in whole seconds."""
        assert self._answered_at is not None, "something was asked"
        return self._answered_at

    async def get(self, path: str, **parameters: str) -> Response | Failed:
        query = f"?{urlencode(parameters)}" if parameters else ""
        return await self._ask("GET", f"{path}{query}", self._headers)

    async def post(self, path: str, key: str, parameters: Mapping[str, str]) -> Response | Failed:
        headers = {**self._headers, "Idempotency-Key": key, "Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", path, headers, urlencode(parameters).encode())

    async def listed(self, path: str, parameters: Mapping[str, str]) -> list[msgspec.Raw] | Failed:
        """All objects of a list, page by page."""
        found: list[msgspec.Raw] = []
        wanted = {**parameters, "limit": str(PAGE_MAX)}
        for _ in range(PAGES_MAX):
            response = await self.get(path, **wanted)
            if isinstance(response, Failed):
                return response
            page = page_of(response.body)
            found += page.data
            if not page.has_more or not page.data:
                return found
            wanted["starting_after"] = found_of(page.data[-1]).id
        raise TerminalError(f"{path} has more than {PAGES_MAX} pages")

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> Response | Failed:
        """A successful answer; everything else is a failure."""
        url = f"{self._base_url}{path}"
        response = await exchange(
            self._client, method, url, headers=headers, timeout_s=self._timeout_s, content=content
        )
        if isinstance(response, Failed):
            return response
        if self._answered_at is None:
            self._answered_at = date_of(response.headers, otherwise=self._clock())
        return response if response.is_success else self._failure(response)

    def _failure(self, response: Response) -> Failed:
        if response.status >= httpx.codes.INTERNAL_SERVER_ERROR and "idempotent-replayed" in response.headers:
            return Failed(retryable=False, reason="stripe.error_kept", is_account_at_fault=False)
        if (failed := away(response, self._clock())) is not None:
            return failed
        match response.status:
            case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
                return Failed(retryable=True, reason=f"http.{response.status}")
            case httpx.codes.CONFLICT:
                return Failed(retryable=True, reason=refusal(response.body), is_account_at_fault=False)
        return Failed(retryable=False, reason=refusal(response.body), is_account_at_fault=False)


async def _pull(calls: _Calls, effect: Effect) -> Done | Failed:
    """Read the intent, its charges, refunds and disputes, all as of before the second of the first answer.

    The first call is for disputes, which change least: what is read later is newer than that second.
    """
    of_payment = _of(effect.payment_id)
    disputes = await calls.listed("/v1/disputes", of_payment)
    if isinstance(disputes, Failed):
        return disputes
    if "charge" in of_payment:
        response = await calls.get(f"/v1/charges/{effect.payment_id}")
        charges: list[msgspec.Raw] | Failed = []
    else:
        response = await calls.get(f"/v1/payment_intents/{effect.payment_id}")
        charges = await calls.listed("/v1/charges", of_payment) if isinstance(response, Response) else response
    refunds = await calls.listed("/v1/refunds", of_payment) if not isinstance(charges, Failed) else charges
    if isinstance(response, Failed):
        return response
    if isinstance(charges, Failed):
        return charges
    if isinstance(refunds, Failed):
        return refunds
    objects = [msgspec.Raw(response.body), *charges, *refunds, *disputes]
    return Done(facts=facts_read(objects, effect.payment_id, calls.answered_at))


async def _refund(calls: _Calls, effect: Effect) -> Done | Failed:
    """Refund, unless this was done already: after a day Stripe has forgotten the key, but not the refund."""
    of_payment = _of(effect.payment_id)
    refunds = await calls.listed("/v1/refunds", of_payment)
    if isinstance(refunds, Failed):
        return refunds
    for refund in refunds:
        if found_of(refund).metadata.get(KEY_METADATA) == effect.key:
            return Done(facts=facts_made(refund, effect.payment_id, calls.answered_at))
    wanted = {**of_payment, "amount": str(effect.amount_minor), f"metadata[{KEY_METADATA}]": effect.key}
    response = await calls.post("/v1/refunds", effect.key, wanted)
    return _done(calls, response, effect)


async def _cancel(calls: _Calls, effect: Effect) -> Done | Failed:
    """Cancel an intent, which releases what is held, unless it is canceled already."""
    path = f"/v1/payment_intents/{effect.payment_id}"
    response = await calls.get(path)
    if isinstance(response, Failed):
        return response
    if found_of(response.body).status != "canceled":
        response = await calls.post(f"{path}/cancel", effect.key, {"cancellation_reason": "abandoned"})
    return _done(calls, response, effect)


def _done(calls: _Calls, response: Response | Failed, effect: Effect) -> Done | Failed:
    """What came of an action."""
    if isinstance(response, Failed):
        if response.reason == "stripe.idempotency_error":
            # Two different wishes under one key: a mistake of ours, and the one that came second is never done.
            log.error("effect_key_misused", tenant=effect.tenant, payment_id=effect.payment_id, key=effect.key)
        return response
    return Done(facts=facts_made(msgspec.Raw(response.body), effect.payment_id, calls.answered_at))


def _of(payment_id: str) -> dict[str, str]:
    """How lists are narrowed to a payment, which is a charge of its own where it has no intent."""
    return {"charge" if payment_id.startswith(("ch_", "py_")) else "payment_intent": payment_id}
