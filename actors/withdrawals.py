"""Documents that are withdrawn in the log and not yet in the projection: from the commit on, no answer quotes them.

A projection is some milliseconds behind the log. For a new version that is a short wait; for a withdrawn document it
would be a quotation of what its owner has been told is gone.
"""

import threading
from collections.abc import Callable, Sequence

from domain.codec import Submission, tag_of
from domain.document import DocumentWithdrawn, WithdrawDocument
from domain.ids import split_stream_id
from domain.message import Accepted, Reply
from projections.feed import Feed

_PAGE_MAX = 5_000


class Withdrawals:
    """The withdrawals after the projection's position. Noted by one thread, asked about by several.

    Args:
        projected: how far the projection of documents is.
    """

    def __init__(self, projected: Callable[[], int]) -> None:
        self._projected = projected
        self._lock = threading.Lock()
        # Tenant -> document id -> the log position of its withdrawal.
        self._noted: dict[str, dict[str, int]] = {}

    def read(self, feed: Feed, after: int) -> None:
        """Note what the log already has after a position, for a process that starts."""
        while True:
            page = feed.read(after, limit=_PAGE_MAX, topics=(tag_of(DocumentWithdrawn),))
            for entry in page.entries:
                self._note(entry.tenant, entry.key, entry.position)
            if len(page.entries) < _PAGE_MAX:
                return
            after = page.position

    def note(self, submissions: Sequence[Submission], replies: Sequence[Reply]) -> None:
        """Note what was just committed."""
        for submission, reply in zip(submissions, replies, strict=True):
            if isinstance(submission.command, WithdrawDocument) and isinstance(reply, Accepted):
                _, tenant, document_id = split_stream_id(submission.stream)
                self._note(tenant, document_id, reply.position)

    def ahead(self, tenant: str) -> frozenset[str]:
        """The tenant's documents that are withdrawn and that the projection still has."""
        if tenant not in self._noted:
            return frozenset()
        projected = self._projected()
        with self._lock:
            left = {each: position for each, position in self._noted[tenant].items() if position > projected}
            self._noted[tenant] = left
        return frozenset(left)

    def _note(self, tenant: str, document_id: str, position: int) -> None:
        with self._lock:
            self._noted.setdefault(tenant, {})[document_id] = position
