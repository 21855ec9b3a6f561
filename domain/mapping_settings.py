"""How records of any provider are read, as it stands in `recount.toml`: docs/sources/mapping.md."""

from typing import Literal

from domain.fact import ObjectKind
from domain.ids import SOURCE_RE
from domain.lifecycle import STATUSES
from domain.settings_base import Settings

DECIMALS_MAX = 12
TIME_FORMATS = ("rfc3339", "s", "ms", "us", "ns")


class FieldSettings(Settings, frozen=True, kw_only=True):
    """Where a value stands in a record. A string in the place of such a table is the path alone.

    Args:
        path: keys and list indexes with dots between; of several, the first that is there counts.
        constant: the value itself, for what the record does not say.
        table: their word, then ours. A word without a row is refused; the row `""` is for nothing there.
    """

    path: str | tuple[str, ...] = ""
    constant: str = ""
    table: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Raises `ValueError` if the value has no place, or two."""
        if bool(self.path) == bool(self.constant):
            raise ValueError("a field needs a path or a constant, one of them")


Field = str | FieldSettings


class AmountSettings(Settings, frozen=True, kw_only=True):
    """Where an amount stands, and how it is written. A string in the place of such a table is the path alone.

    Args:
        path: keys and list indexes with dots between; of several, the first that is there counts.
        unit: `minor` (a whole number of minor units) or `major` (a decimal number, `19.90`).
        decimals: for whole numbers with that many decimals whatever the currency; -1 means the currency's own.
        thousands: what separates thousands, such as `,`.
        point: what separates decimals.
        absolute: whether a sign is dropped: exports book a refund as a negative amount.
        base64: whether the number is the bytes of a decimal without its scale, as Debezium writes it; set `decimals`.
    """

    path: str | tuple[str, ...]
    unit: Literal["minor", "major"] = "minor"
    decimals: int = -1
    thousands: str = ""
    point: str = "."
    absolute: bool = False
    base64: bool = False

    def __post_init__(self) -> None:
        """Raises `ValueError` if the ways to write contradict each other."""
        if not self.path:
            raise ValueError("an amount needs a path")
        if self.decimals != -1 and (self.unit == "major" or not 0 <= self.decimals <= DECIMALS_MAX):
            raise ValueError(f"decimals: 0 to {DECIMALS_MAX}, and with unit minor")
        if self.base64 and self.decimals == -1:
            raise ValueError("base64: set decimals too")
        if len(self.point) != 1 or len(self.thousands) > 1 or self.point == self.thousands:
            raise ValueError("point and thousands: one character each, not the same")


class TimeSettings(Settings, frozen=True, kw_only=True):
    """Where a time stands, and how it is written. A string in the place of such a table is the path alone.

    Args:
        path: keys and list indexes with dots between; of several, the first that is there counts.
        format: `rfc3339`, `s`, `ms`, `us` or `ns` (since 1970), or a pattern such as `%d/%m/%Y %H:%M:%S`.
        zone: the zone of local times, `Europe/Amsterdam` or `+07:00`; without one and without an offset, a text is
            refused, and a number counts in UTC.
        zone_path: where the record names the zone; it comes before `zone`.
        zones: their word for a zone, then the zone: `PDT = "-07:00"`. What has no row must be a zone or an offset.
    """

    path: str | tuple[str, ...]
    format: str = "rfc3339"
    zone: str = ""
    zone_path: str = ""
    zones: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Raises `ValueError` for an unknown format."""
        if not self.path:
            raise ValueError("a time needs a path")
        if self.format not in TIME_FORMATS and "%" not in self.format:
            raise ValueError(f"format: one of {', '.join(TIME_FORMATS)}, or a pattern with %Y")


class FactSettings(Settings, frozen=True, kw_only=True):
    """What a record says of one object of a payment. Several make several facts of one record.

    Args:
        kind: `intent`, `charge`, `refund`, `dispute` or `payout`.
        when: path, then the words of which the record must have one there (`refund.*` for all that begin so, `*` for
            anything); all paths must fit.
        object: the object's id; an intent needs none.
        payment: the payment, or the reference under which it is known so far.
        links: other references of the same payment.
        refers_to: the objects that must be there if this is true, by kind: `charge = "charge_id"`.
        status: the object's status, in our words after the table.
        occurred_at: when the provider says that it was so.
        sequence: a number that grows with each change of the object; it comes before time.
        amount: the object's amount.
        currency: by ISO 4217.
        authorized: how much is held; without it, the amount of what is authorized or captured.
        captured: how much was taken; without it, the amount of what is captured.
        refunded: how much of a charge was given back.
        customer: the customer's id.
        reason: why, as a code. Prose is left out.
    """

    kind: ObjectKind
    payment: Field
    status: Field
    when: dict[str, tuple[str, ...]] = {}
    object: Field = ""
    links: tuple[Field, ...] = ()
    refers_to: dict[ObjectKind, Field] = {}
    occurred_at: str | TimeSettings = ""
    sequence: Field = ""
    amount: str | AmountSettings = ""
    currency: Field = ""
    authorized: str | AmountSettings = ""
    captured: str | AmountSettings = ""
    refunded: str | AmountSettings = ""
    customer: Field = ""
    reason: Field = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is missing, and for statuses that this kind of object does not have."""
        if not self.payment or not self.status:
            raise ValueError("facts: set payment and status")
        if not self.object and self.kind != "intent":
            raise ValueError(f"facts.object: a {self.kind} needs an id")
        if self.amount and not self.currency:
            raise ValueError("facts.currency: an amount needs one")
        if isinstance(self.status, FieldSettings):
            given = self.status.table.values() if self.status.table else filter(None, [self.status.constant])
            if unknown := sorted(set(given) - STATUSES[self.kind]):
                known = ", ".join(sorted(STATUSES[self.kind]))
                raise ValueError(f"facts.status: a {self.kind} is never {unknown[0]!r}; it is one of {known}")


class DocumentSettings(Settings, frozen=True, kw_only=True):
    """What a record says of one knowledge document.

    Args:
        id: the document's id.
        text: what it says.
        title: its title.
        metadata: what else is kept of it, by name.
        when: as of facts.
        withdrawn: path, then words: the record takes the document back if any of these paths fits.
        changed_at: when it was changed. An older change that comes late does not overwrite a newer one.
        sequence: a number that orders changes of the same time.
    """

    id: Field
    text: Field
    title: Field = ""
    metadata: dict[str, Field] = {}
    when: dict[str, tuple[str, ...]] = {}
    withdrawn: dict[str, tuple[str, ...]] = {}
    changed_at: str | TimeSettings = ""
    sequence: Field = ""


class MappingSettings(Settings, frozen=True, kw_only=True):
    """How the records of a source that has no module of its own are read: docs/sources/mapping.md.

    Args:
        provider: the name under which facts are kept and whose lifecycle applies; empty is the source's name.
        event_id: the provider's id of the assertion; without one, facts that say the same are the same.
        event_type: the provider's word for what happened.
        ignored: event types that state nothing that is kept; `customer.*` is all that begin so.
        facts: what records say of payments.
        documents: what they say of knowledge documents.
    """

    provider: str = ""
    event_id: Field = ""
    event_type: Field = ""
    ignored: tuple[str, ...] = ()
    facts: tuple[FactSettings, ...] = ()
    documents: tuple[DocumentSettings, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` for a mapping that maps nothing, or a provider's name that cannot be part of an id."""
        if not self.facts and not self.documents:
            raise ValueError("mapping: it needs facts or documents")
        if self.provider and SOURCE_RE.fullmatch(self.provider) is None:
            raise ValueError("mapping.provider: use lower-case letters, digits, - and _")
