"""What a payment's saga does next: from what is known of the payment, and from what was done about it so far.

One step at a time: nothing new is done while an effect is outstanding, and the provider is read before anything is
undone or judged, so that a decision never rests on a webhook that is still on its way.
"""

from typing import Literal

import msgspec

from domain.effects import ATTEMPTS_MAX, EffectKind
from domain.payment import PaymentView

OnTimeout = Literal["wait", "cancel", "void", "refund"]
OnLateSuccess = Literal["refund", "keep", "escalate"]
Compensation = Literal["cancel", "void", "refund"]
SagaResult = Literal["confirmed", "ended", "failed", "compensated", "closed"]
EscalationReason = Literal[
    "conflict_remains",
    "provider_unreadable",
    "unconfirmed",
    "compensation_unproven",
    "late_success",
    "disputed",
    "incomplete",
    "refund_failed",
]


# What is canceled twice is canceled once, so another key may be tried; a provider keeps its own errors under the first.
CANCELS_MAX = 3


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tenant wants done about a payment that is not confirmed in time.

    Args:
        on_timeout: `wait` (ask again later), `cancel` (end it), `void` (release what is authorized, else end it) or
            `refund` (leave it open, and return whatever is captured after the deadline).
        on_late_success: of money captured after a cancel or void began: `refund` it, `keep` it, or `escalate`.
        wait_s: how long until the provider is asked again, under `wait` and `refund`.
        waits_max: how often that is done before a person is asked.
        attempts_max: how often one effect is tried before it is given up.
    """

    on_timeout: OnTimeout = "wait"
    on_late_success: OnLateSuccess = "refund"
    wait_s: float = 3_600.0
    waits_max: int = 24
    attempts_max: int = ATTEMPTS_MAX


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done about a payment so far.

    Args:
        policy: what the tenant wants; `None` for a payment that nobody started here.
        is_due: whether the deadline has passed.
        is_busy: whether an effect is outstanding.
        is_read: whether the provider was read after everything else that is known.
        is_unreadable: whether that reading was given up.
        waits: how often the deadline was moved on.
        compensation: what is being undone, empty if nothing is.
        tried: what was requested since the compensation began, or since a person said to try again.
        steps: how many effects were ever requested.
        escalation: why a person was asked, empty if nobody is.
        escalations: how many times a person was asked.
        settled: how the saga ended, empty if it has not.
    """

    policy: Policy | None = None
    is_due: bool = False
    is_busy: bool = False
    is_read: bool = False
    is_unreadable: bool = False
    waits: int = 0
    compensation: Compensation | Literal[""] = ""
    tried: tuple[EffectKind, ...] = ()
    steps: int = 0
    escalation: EscalationReason | Literal[""] = ""
    escalations: int = 0
    settled: SagaResult | Literal[""] = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Have this done at the provider."""

    kind: EffectKind
    amount_minor: int = 0


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Look again after that many seconds."""

    wait_s: float


class Compensate(msgspec.Struct, frozen=True, kw_only=True):
    """Begin to undo."""

    kind: Compensation


class Escalate(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a person."""

    reason: EscalationReason


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing left to do."""

    result: SagaResult


Step = Request | Wait | Compensate | Escalate | Settle

_READ = Request(kind="pull")


def next_step(view: PaymentView | None, progress: Progress) -> Step | None:
    """The next thing to do; `None` while something is awaited: an outcome, the deadline, a person, or nothing more."""
    policy = progress.policy
    if progress.is_busy or progress.settled == "closed":
        return None
    if view is not None and view.certainty == "conflicting":
        return _read_or_ask(progress, "conflict_remains")
    if policy is None:
        return Settle(result="ended") if progress.escalation else None
    result = _result(view, progress, policy)
    if result:
        return Settle(result=result) if result != progress.settled or progress.escalation else None
    # What was settled and is not so any more is due at once; so is money that comes in while it is being undone.
    is_due = progress.is_due or progress.settled or (view is not None and progress.compensation and unreturned(view))
    if not is_due or progress.escalation:
        return None
    if not progress.is_read or progress.is_unreadable:
        return _read_or_ask(progress, "provider_unreadable")
    if not progress.compensation:
        return _on_timeout(view, progress, policy)
    return _compensate(view, progress, policy)


def unreturned(view: PaymentView) -> int:
    """What is captured and neither returned nor on its way back, in minor units; never below 0."""
    returned = sum(refund.amount_minor for refund in view.refunds if refund.status in _RETURNING)
    return max(view.captured_minor - returned, 0)


_RETURNING = frozenset({"pending", "requires_action", "succeeded"})


def _read_or_ask(progress: Progress, reason: EscalationReason) -> Step | None:
    """Read the provider, or, where that was done, ask a person, once.

    Whoever was asked about something else is not asked about this as well, and may be spared both: it is read. So it is
    again with each later fact where it could not be read: the provider may answer by then.
    """
    if not progress.is_read and progress.escalation != reason:
        return _READ
    if progress.escalation:
        return None
    return Escalate(reason="provider_unreadable" if progress.is_unreadable else reason)


def _result(view: PaymentView | None, progress: Progress, policy: Policy) -> SagaResult | Literal[""]:
    """How the saga ends as things stand, empty if something is still open."""
    if view is None:
        return ""
    is_over = view.status == "canceled" or (view.status == "failed" and not _may_be_tried_again(view))
    if not progress.compensation:
        if view.status == "captured":
            return "confirmed"
        if is_over:
            return "ended"
        # Whoever waits for a payment that failed has an outcome; a later success is as welcome as any.
        is_failed = view.status == "failed" and policy.on_timeout == "wait" and progress.is_due and progress.is_read
        return "failed" if is_failed and not progress.is_unreadable else ""
    if view.captured_minor:
        if not unreturned(view):
            return "compensated"
        is_kept = progress.compensation != "refund" and policy.on_late_success == "keep"
        return "confirmed" if is_kept and progress.is_read and not progress.is_unreadable else ""
    return "compensated" if is_over else ""


def _may_be_tried_again(view: PaymentView) -> bool:
    """Whether a failed payment is one attempt of an order that stays open, by the providers that have such orders."""
    return view.provider in _REOPENING


# Elsewhere a failed charge is the end (domain.lifecycle); these have an intent or an order that outlives its attempts.
_REOPENING = frozenset({"stripe", "paypal", "adyen"})


def _on_timeout(view: PaymentView | None, progress: Progress, policy: Policy) -> Step:
    match policy.on_timeout:
        case "wait":
            return _wait(progress, policy)
        case "refund":
            return Compensate(kind="refund")
        case "cancel":
            return Compensate(kind="cancel")
        case "void":
            return Compensate(kind="void" if view is not None and view.status == "authorized" else "cancel")


def _compensate(view: PaymentView | None, progress: Progress, policy: Policy) -> Step | None:
    """Undo what is open, and return what is captured: what the provider just said is captured, and no more."""
    owed_minor = 0 if view is None else unreturned(view)
    if view is not None and owed_minor:
        if progress.compensation != "refund" and policy.on_late_success != "refund":
            return Escalate(reason="late_success")
        # A chargeback returns the money as well; a refund beside it would return it twice.
        if any(dispute.status != "won" for dispute in view.disputes):
            return Escalate(reason="disputed")
        if view.certainty == "incomplete":
            return Escalate(reason="incomplete")
        if "refund" in progress.tried:
            return Escalate(reason="refund_failed")
        return Request(kind="refund", amount_minor=owed_minor)
    if progress.compensation == "refund":
        return _wait(progress, policy) if progress.is_due else None
    assert progress.compensation, "something is being undone"
    if progress.tried.count(progress.compensation) >= CANCELS_MAX:
        return Escalate(reason="compensation_unproven")
    return Request(kind=progress.compensation)


def _wait(progress: Progress, policy: Policy) -> Step:
    return Wait(wait_s=policy.wait_s) if progress.waits < policy.waits_max else Escalate(reason="unconfirmed")
