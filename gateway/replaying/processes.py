"""Work that is shared among processes, with one progress for all of it."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from queue import Empty
from typing import Any, Protocol

from domain.errors import RetryableError

POLL_S = 0.1
GC_EVERY = 1_000_000

Tell = Callable[[int], None]
Run = Callable[[Sequence["Task"], int, Tell], list[Any]]


class Task(Protocol):
    """A share of the work, as it is sent to a process; it brings all that it needs."""

    def run(self, tell: Tell) -> Any:  # noqa: ANN401 - each task's own
        """Do it; `tell` is told how much of it is done."""
        ...


def cores() -> int:
    """How many processes run at the same time here."""
    return len(os.sched_getaffinity(0))


def run_here(tasks: Sequence[Task], _processes: int, tell: Tell) -> list[Any]:
    """Do all tasks in this process, one after the other."""
    done = _Done(len(tasks), tell)
    return [task.run(done.of(number)) for number, task in enumerate(tasks)]


def run_apart(tasks: Sequence[Task], processes: int, tell: Tell) -> list[Any]:
    """Do all tasks in so many processes; what they give, in order.

    `tell` is told how much of all of them together is done. Raises what the first task raises that fails.
    """
    done = _Done(len(tasks), tell)
    # Not forked: threads and connections of this process would be halves of themselves in the others.
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    with ProcessPoolExecutor(processes, context, _begin, (news,)) as pool:
        running = [pool.submit(_run, number, task) for number, task in enumerate(tasks)]
        try:
            left = set(running)
            while left:
                ended, left = wait(left, timeout=POLL_S, return_when=FIRST_COMPLETED)
                while (heard := _heard(news)) is not None:
                    done.note(*heard)
                for each in ended:
                    each.result()
        except BrokenProcessPool as error:
            raise RetryableError("a process of the replay was ended; is there enough memory?") from error
        finally:
            pool.shutdown(cancel_futures=True)
        return [each.result() for each in running]


class _Done:
    """How much of each task is done."""

    def __init__(self, tasks: int, tell: Tell) -> None:
        self._done = [0] * tasks
        self._tell = tell

    def note(self, number: int, reached: int) -> None:
        self._done[number] = reached
        self._tell(sum(self._done))

    def of(self, number: int) -> Tell:
        return lambda reached: self.note(number, reached)


def _heard(news: Any) -> tuple[int, int] | None:  # noqa: ANN401 - a queue of the context
    try:
        heard: tuple[int, int] = news.get_nowait()
    except Empty:
        return None
    return heard


_news: Any = None


def _begin(news: Any) -> None:  # noqa: ANN401 - as above
    global _news  # noqa: PLW0603 - one per process: a queue cannot be sent with a task
    _news = news
    # To look for cycles among millions of facts, which have none, was a quarter of the time.
    gc.freeze()
    gc.set_threshold(GC_EVERY)


def _run(number: int, task: Task) -> Any:  # noqa: ANN401 - as above
    return task.run(lambda reached: _news.put((number, reached)))
