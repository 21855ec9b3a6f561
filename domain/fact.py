"""The canonical payment fact: one provider's assertion about one object of one payment."""

from datetime import datetime
from typing import Literal

import msgspec

Source = Literal["webhook", "pull", "export", "operator"]
ObjectKind = Literal["intent", "charge", "refund", "dispute", "payout"]


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a provider said, in our words. Amounts are in minor units of `currency` (ISO 4217, upper case).

    `fact_id` names the assertion (provider and the provider's event id), so that the same delivery twice is one fact.
    `payment_id` is the payment, or the reference that the provider gave while the payment is not known. `object` is
    `intent`, `charge:<id>`, `refund:<id>`, `dispute:<id>` or `payout:<id>`. `refers_to` names objects of the same
    payment that must exist if this is true. `raw` says where the message as received lies.
    """

    fact_id: str
    provider: str
    payment_id: str
    object: str
    status: str
    occurred_at: datetime
    source: Source = "webhook"
    sequence: int | None = None
    amount_minor: int = 0
    currency: str = ""
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    customer_id: str = ""
    reason: str = ""
    refers_to: tuple[str, ...] = ()
    raw: str = ""

    @property
    def kind(self) -> str:
        return self.object.partition(":")[0]

    @property
    def object_id(self) -> str:
        """The provider's id of the object; the payment's own for the intent."""
        return self.object.partition(":")[2] or self.payment_id

    def asserts_same_as(self, other: "Fact") -> bool:
        """Whether both say the same; how and where they were delivered does not matter."""
        return _assertion(self) == _assertion(other)


def _assertion(fact: Fact) -> tuple[object, ...]:
    return (
        fact.provider,
        fact.object,
        fact.status,
        fact.occurred_at,
        fact.sequence,
        fact.amount_minor,
        fact.currency,
        fact.authorized_minor,
        fact.captured_minor,
        fact.refunded_minor,
        fact.customer_id,
        fact.reason,
    )


class RecordedFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A fact, and when we knew it: its position in the log and the time of its recording."""

    fact: Fact
    position: int
    recorded_at: datetime
    correlation_id: str = ""
