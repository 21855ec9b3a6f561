"""One name for the whole state of a past: equal for equal histories under equal code, whoever replays them."""

import hashlib
from contextlib import closing
from pathlib import Path

import msgspec

from actors import index, payment_shard
from domain.state_hash import state_hash
from gateway import ledger, remediation_log
from gateway.replaying.history import History, Show, unseen
from gateway.replaying.processes import Run, Task, Tell, run_here
from gateway.replaying.views import payments_of
from projections.payment_view import PaymentStore

KINDS = {**payment_shard.KINDS, **index.KINDS, **ledger.KINDS, **remediation_log.KINDS}
TOLD_EVERY = 1_000
_HASH_BYTES = 16


def hash_state(directory: Path, *, processes: int = 1, run: Run = run_here, show: Show = unseen) -> str:
    """The hash of every aggregate's state and of every payment of the views, 32 hexadecimal characters."""
    with closing(History(directory)) as history:
        shares = history.shares(processes)
        tenants = history.tenants()
        events = history.count()
    tasks: list[Task] = [
        *(_Streams(directory=str(directory), names=names) for names in shares),
        *(_Views(directory=str(directory), tenant=tenant) for tenant in tenants),
    ]
    digest = hashlib.blake2b(digest_size=_HASH_BYTES)
    for lines in run(tasks, processes, lambda done: show("hashing", done, events)):
        digest.update(lines)
    return digest.hexdigest()


class _Streams(msgspec.Struct, frozen=True, kw_only=True):
    """The aggregates of some streams: a line for each."""

    directory: str
    names: tuple[str, str]

    def run(self, tell: Tell) -> bytes:
        lines, events = [], 0
        with closing(History(Path(self.directory))) as history:
            for number, (stream, entries) in enumerate(history.streams(self.names), start=1):
                decider = KINDS[stream.partition(":")[0]].decider
                state = decider.initial()
                try:
                    for entry in entries:
                        state = decider.evolve(state, entry.envelope().event)
                    folded = state_hash(state)
                except msgspec.DecodeError as error:
                    folded = f"unreadable: {error}"
                lines.append(f"{stream} {entries[-1].version} {folded}\n")
                events += len(entries)
                if number % TOLD_EVERY == 0:
                    tell(events)
        tell(events)
        return "".join(lines).encode()


class _Views(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's payments as the view has them: a line for each."""

    directory: str
    tenant: str

    def run(self, tell: Tell) -> bytes:
        directory = Path(self.directory)
        with closing(History(directory)) as history:
            place = payments_of(directory, history, self.tenant)
        if not (place / "facts.sqlite").exists():
            return b""
        store = PaymentStore(place)
        lines, cursor = [], ""
        while True:
            page = store.payments(limit=TOLD_EVERY, cursor=cursor)
            lines += [f"{self.tenant} {payment.payment_id} {state_hash(payment)}\n" for payment in page.payments]
            if not (cursor := page.cursor):
                break
        parked = [f"{self.tenant} parked {position} {stream}\n" for position, stream, _ in store.store.parked()]
        store.close()
        tell(0)  # What it counts is events, and those are the streams'.
        return "".join([*lines, *parked]).encode()
