"""How far a projector is that fills the stores of many tenants: in a file of its own, beside each tenant's.

The two are not written in one transaction, and derived files may be lost, so where it goes on is decided from both.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from projections.store import Store

_SCHEMA = "CREATE TABLE IF NOT EXISTS tenants (tenant TEXT PRIMARY KEY, position INTEGER NOT NULL)"


class Progress(Store):
    """The position up to which the log is applied, and the one that each tenant's store had reached by then."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)

    def reach(self, position: int, tenants: Iterable[tuple[str, int]]) -> None:
        """The log is applied up to `position`, and these tenants' stores are at theirs.

        A store that lost its content is behind what is remembered until it has caught up, and so it stays: a start in
        the middle of that goes on where the store stands, and not where the projector was before the loss.
        """
        with self.writing(position) as connection:
            connection.executemany(
                "INSERT INTO tenants VALUES (?,?) "
                "ON CONFLICT (tenant) DO UPDATE SET position=max(position, excluded.position)",
                list(tenants),
            )

    def resume_position(self, stands: Callable[[str], int | None]) -> int:
        """Where a projector goes on: the checkpoint, or where the tenant stands that lost the most.

        Args:
            stands: the position of a tenant's store; `None` for one that is another projector's.
        """
        with self.reading() as connection:
            reached = connection.execute("SELECT tenant, position FROM tenants").fetchall()
        found = [(stands(tenant), position) for tenant, position in reached]
        return min([self.position(), *(at for at, position in found if at is not None and at < position)])
