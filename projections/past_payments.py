"""Lists of payments as they were: as of a time in the world, as known at a log position.

The table of payments holds the present only. A past list is read from the facts: what a payment's `occurred_at` was is
when one of its facts occurred, so going back through the facts meets every payment where it stood in the list.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

import msgspec

from domain.payment import PaymentView
from projections.payment_view import POSITION_MAX, Listed, PaymentStore, micros

# A page costs at most so many folds (about a second): one that finds too few ends early, and its cursor goes on.
FOLDS_MAX = 2_000
_ROWS_MAX = 200
_FOLDED_TOGETHER = 100
_REFERENCES_MAX = 10_000

Row = tuple[int, str]


class PastList(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of which list: of one customer or in one status if given, at both clocks, after a cursor."""

    as_of: datetime | None = None
    known_at: int | None = None
    customer_id: str = ""
    status: str = ""
    limit: int = 50
    cursor: str = ""


def payments_at(store: PaymentStore, wanted: PastList) -> Listed:
    """A page of payments, newest first, each as it was: a customer's are those that were his or hers then.

    A page may be shorter than `limit` and still have a cursor. With the same `known_at` every page stays what it is.
    """
    return _Walk(store, wanted).page()


class _Walk:
    """One page's way back through the facts."""

    def __init__(self, store: PaymentStore, wanted: PastList) -> None:
        self._store = store
        self._wanted = wanted
        self._known_at = POSITION_MAX if wanted.known_at is None else min(wanted.known_at, POSITION_MAX)
        self._views: dict[str, PaymentView | None] = {}
        at, _, payment_id = wanted.cursor.partition(".")
        self._after = (int(at), payment_id) if at else None
        latest = POSITION_MAX if wanted.as_of is None else micros(wanted.as_of)
        self._latest = latest if self._after is None else min(latest, self._after[0])

    def page(self) -> Listed:
        found: list[PaymentView] = []
        cursor = ""
        for occurred_at, rows in groupby(self._rows(), key=lambda row: row[0]):
            standing = {root for _, root in rows if self._is_after(occurred_at, root)}
            for payment_id, view in self._folded(sorted(standing, reverse=True)):
                # A payment is listed at its own time alone; one of its earlier or overtaken facts is passed by.
                if view is not None and micros(view.occurred_at) == occurred_at and self._is_wanted(view):
                    if len(found) == self._wanted.limit:
                        return Listed(payments=found, cursor=cursor)
                    found.append(view)
                cursor = f"{occurred_at}.{payment_id}"
                if len(self._views) >= FOLDS_MAX:
                    return Listed(payments=found, cursor=cursor)
        return Listed(payments=found, cursor="")

    def _is_after(self, occurred_at: int, payment_id: str) -> bool:
        return self._after is None or (occurred_at, payment_id) < self._after

    def _is_wanted(self, view: PaymentView) -> bool:
        is_of_customer = self._wanted.customer_id in {"", view.customer_id}
        return is_of_customer and self._wanted.status in {"", view.status}

    def _folded(self, payment_ids: Sequence[str]) -> Iterator[tuple[str, PaymentView | None]]:
        """Each with what it was, folded a few at a time: a whole export may have occurred in one second."""
        for start in range(0, len(payment_ids), _FOLDED_TOGETHER):
            some = payment_ids[start : start + _FOLDED_TOGETHER]
            new = [each for each in some if each not in self._views]
            for payment_id, of_payment in self._store.read(new, self._wanted.known_at).items():
                self._views[payment_id] = of_payment.view(self._wanted.as_of)
            yield from ((each, self._views[each]) for each in some)

    def _rows(self) -> Iterator[Row]:
        """When facts occurred, the latest first, each with its payment."""
        return self._of_customer() if self._wanted.customer_id else self._of_all()

    def _of_all(self) -> Iterator[Row]:
        before = (self._latest, POSITION_MAX)
        while True:
            with self._store.store.reading() as connection:
                rows = connection.execute(
                    "SELECT occurred_at, position, reference FROM facts WHERE (occurred_at, position) <= (?,?) "
                    "AND position<=? ORDER BY occurred_at DESC, position DESC LIMIT ?",
                    (*before, self._known_at, _ROWS_MAX),
                ).fetchall()
            roots = self._store.roots({reference for _, _, reference in rows}, self._wanted.known_at)
            yield from ((occurred_at, roots[reference].payment_id) for occurred_at, _, reference in rows)
            if len(rows) < _ROWS_MAX:
                return
            before = (rows[-1][0], rows[-1][1] - 1)

    def _of_customer(self) -> Iterator[Row]:
        """The facts of every payment of which a fact named the customer by then."""
        with self._store.store.reading() as connection:
            references = [
                reference
                for (reference,) in connection.execute(
                    "SELECT reference FROM customers WHERE customer_id=? AND position<=?",
                    (self._wanted.customer_id, self._known_at),
                )
            ]
        rows: list[Row] = []
        for start in range(0, len(references), _REFERENCES_MAX):
            rows += self._store.times(references[start : start + _REFERENCES_MAX], self._known_at, self._latest)
        yield from sorted(rows, reverse=True)
