"""A past moment of a node, in a directory of its own: its events, its projections, and the name of its state."""

from datetime import datetime
from pathlib import Path

import msgspec

from gateway.replaying.history import Moment, Reached, Show, unseen, write_history
from gateway.replaying.processes import Run, cores, run_apart, run_here
from gateway.replaying.state import hash_state
from gateway.replaying.views import build_views
from projections.code_version import code_of
from projections.feed import Feed

# Below this, starting a process takes longer than it saves.
EVENTS_PER_PROCESS_MIN = 20_000
CODE = ("domain.codec", "projections.payment_view", "projections.answer_ledger", "projections.knowledge")


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a past is, how far it goes, and what it comes to.

    Args:
        directory: everything that was made.
        position: the last log position that is in it.
        events: how many it has.
        recorded_at: when the last of them was recorded.
        state: the hash of the state of all aggregates and payment views.
        code: names the code that folded it.
    """

    directory: str
    position: int
    events: int
    recorded_at: datetime
    state: str
    code: str


def replay(
    feed: Feed,
    directory: Path,
    until: Moment,
    *,
    tenant: str = "",
    processes: int = 0,
    run: Run | None = None,
    show: Show = unseen,
) -> Replayed:
    """Materialise a past of a log in an empty directory; the log is only read.

    Args:
        feed: the log.
        directory: made if it is not there.
        until: the moment.
        tenant: whose events alone; everybody's if empty.
        processes: how many to work with; 0 takes one per core, where there is enough to do.
        run: does tasks; in processes of their own if there are several.
        show: told the stage, how much of it is done, and of how much.

    Raises:
        TerminalError: there is no such moment, or the directory is in use.
    """
    reached = write_history(feed, directory, until, tenant=tenant, show=show)
    return rebuild(directory, reached, processes=processes, run=run, show=show)


def rebuild(
    directory: Path, reached: Reached, *, processes: int = 0, run: Run | None = None, show: Show = unseen
) -> Replayed:
    """The projections of the history that is in `directory`, and the name of its state."""
    count = processes or max(min(cores(), reached.events // EVENTS_PER_PROCESS_MIN), 1)
    run = run or (run_apart if count > 1 else run_here)
    build_views(directory, reached.position, processes=count, run=run, show=show)
    return Replayed(
        directory=str(directory),
        position=reached.position,
        events=reached.events,
        recorded_at=reached.recorded_at,
        state=hash_state(directory, processes=count, run=run, show=show),
        code=code_of(*CODE),
    )
