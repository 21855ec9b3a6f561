"""Folds a history under whatever version of the program is on the path, and writes down what it comes to.

It is run as a copy, in a process that finds another version's modules instead of this one's: so it imports of them what
every version has had, and nothing of this package. Arguments: the history, a directory to work in, the questions and
the file for the outcome, both JSON lines.
"""

import json
import sqlite3
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from projections.feed import LogEntry, Page
from projections.payment_view import TOPICS, PaymentStore
from projections.projector import Projector

BATCH_MAX = 20_000
PAGE = 1_000


class _Feed:
    """The history, as the projector of any version reads it."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)

    def head(self) -> int:
        return int(self._connection.execute("SELECT max(position) FROM stored_events").fetchone()[0])

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        marks = ",".join("?" * len(topics))
        rows = self._connection.execute(
            "SELECT position, originator_id, originator_version, topic, state FROM stored_events "  # noqa: S608 - question marks alone
            f"WHERE position>? AND topic IN ({marks}) ORDER BY position LIMIT ?",
            (after, *topics, limit),
        ).fetchall()
        entries = [LogEntry(position=row[0], stream=row[1], version=row[2], topic=row[3], state=row[4]) for row in rows]
        return Page(entries=entries, position=rows[-1][0] if len(rows) == limit else self.head())

    def stream(self, stream: str) -> list[LogEntry]:
        raise NotImplementedError(f"{stream}: a view is built from all of the log")


def refold(history: str, directory: Path, questions: Path, outcome: Path) -> None:
    """Build every tenant's payments view, and write its payments and the answers' payments as they were then."""
    feed = _Feed(history)
    stores: dict[str, PaymentStore] = {}
    parked: list[int] = []

    def store_of(tenant: str) -> PaymentStore:
        if tenant not in stores:
            stores[tenant] = PaymentStore(directory / tenant)
        return stores[tenant]

    projector = Projector(
        feed,
        topics=TOPICS,
        store_of=store_of,
        batch_max=BATCH_MAX,
        on_parked=lambda entry, error: parked.append(entry.position),
    )
    head = feed.head()
    while projector.position < head:
        projector.run_once()
        sys.stdout.write(f"{projector.position}\n")
        sys.stdout.flush()
    with outcome.open("w") as out:
        for tenant, store in sorted(stores.items()):
            cursor = ""
            while True:
                page = store.payments(limit=PAGE, cursor=cursor)
                for payment in page.payments:
                    _tell(out, kind="payment", tenant=tenant, id=payment.payment_id, view=payment)
                if not (cursor := page.cursor):
                    break
        for line in questions.open():
            asked = json.loads(line)
            view = store_of(asked["tenant"]).payment_at(
                asked["payment_id"], as_of=datetime.fromisoformat(asked["as_of"]), known_at=asked["known_at"]
            )
            _tell(
                out, kind="answer", tenant=asked["tenant"], id=asked["answer_id"], stated=asked["payment_id"], view=view
            )
        for position in parked:
            _tell(out, kind="parked", tenant="", id=str(position), view=None)


def _tell(out: Any, *, view: Any, **about: str) -> None:  # noqa: ANN401 - a file, and the view of any version
    out.write(json.dumps({**about, "view": msgspec.to_builtins(view)}) + "\n")


if __name__ == "__main__":
    refold(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
