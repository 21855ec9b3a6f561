"""The three kinds of error, never mixed.

`Rejection` is business: a reply value for one item. `RetryableError` and `TerminalError` are operations. A broken
assumption of the programmer is an `assert`.
"""


class Rejection(Exception):  # noqa: N818 - a business outcome, not an error; the name is the design's
    """A command that the rules refuse.

    Args:
        code: stable, dotted, part of the public interface, e.g. `fact.id_reused`.
        detail: one sentence for a person.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class RetryableError(Exception):
    """An operation that failed now and may succeed when tried again, with the same idempotency key."""

    def __init__(self, reason: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class TerminalError(Exception):
    """An operation that will fail the same way however often it is tried; the sentence says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FencedError(TerminalError):
    """A writer whose lease was taken by another: it must drop its state and stop.

    Args:
        lease: the lease whose epoch moved on.
        held: the epoch that the writer held.
        current: the epoch that the store holds now, 0 if nobody ever took it.
    """

    def __init__(self, lease: str, *, held: int, current: int) -> None:
        super().__init__(f"lease {lease}: epoch {held} is fenced, the store is at {current}; this writer stops")
        self.lease = lease
        self.held = held
        self.current = current

    def __reduce__(self) -> tuple[object, ...]:
        """What it takes to cross a process border: the default would pass the sentence for the lease."""
        return _fenced, (self.lease, self.held, self.current)


class LostRaceError(RetryableError):
    """Another writer appended to a stream first: evict it, load it again, decide again."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream} was appended to by another writer")
        self.stream = stream

    def __reduce__(self) -> tuple[object, ...]:
        return LostRaceError, (self.stream,)


def _fenced(lease: str, held: int, current: int) -> FencedError:
    return FencedError(lease, held=held, current=current)
