"""An asyncio event loop on virtual time: no threads, no wall clock, and processes that can be killed or paused.

Production coroutines run on it unchanged. Every callback belongs to the process in whose context it was made; the
callbacks of a dead process never run, those of a paused one wait until it is continued. What FoundationDB does with
its Flow runtime (https://apple.github.io/foundationdb/testing.html), asyncio's contexts do here.
"""

import asyncio
import heapq
import inspect
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """One incarnation of one part of the node, as the loop sees it. Everything that runs in its context is its own."""

    def __init__(self, name: str, incarnation: int) -> None:
        self.name = name
        self.incarnation = incarnation
        self.is_alive = True
        self.is_paused = False
        self.waiting: list[asyncio.Handle] = []
        self.context: Context = copy_context()
        self.context.run(_CURRENT.set, self)


_CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


def current_process() -> Process | None:
    """The process that is running now; `None` for the world itself."""
    return _CURRENT.get()


class CrashedError(BaseException):
    """The process ends here. No code of ours may catch it, as none can catch SIGKILL."""


class News:
    """Something that many wait for, in any process; each waits anew for the next time."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def tell(self) -> None:
        """It happened: all who wait go on."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def wait(self, timeout_s: float) -> None:
        """Until it happens, or the time is over."""
        heard = asyncio.get_running_loop().create_future()
        self._waiting.append(heard)
        asyncio.get_running_loop().call_later(timeout_s, lambda: None if heard.done() else heard.set_result(None))
        await heard


class VirtualLoop(asyncio.AbstractEventLoop):
    """Time passes when nothing is left to do now. Due at the same moment, callbacks run in the order of `tie`.

    Args:
        tie: a number for each timer; equal ones run in the order in which they were set.
        work_s: how long what production does in a thread takes.
    """

    def __init__(self, tie: Callable[[], int], work_s: Callable[[], float]) -> None:
        self._tie = tie
        self._work_s = work_s
        self._now_s = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, int, asyncio.TimerHandle]] = []
        self._made = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self.steps = 0
        self.errors: list[str] = []

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now_s

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until `main` is done. Raises what it raises; `RuntimeError` if it waits for what can never come."""
        events._set_running_loop(self)  # noqa: SLF001 - what `run_until_complete` does
        try:
            task = self.create_task(main)
            while not task.done():
                self._step()
            return task.result()
        finally:
            events._set_running_loop(None)  # noqa: SLF001 - as above

    def close(self) -> None:
        """Drop everything that still waits. What its `finally` blocks want to happen does not happen.

        Coroutines are ended here one by one: left to the garbage collector, a task that is taken apart before its
        coroutine has crashed CPython 3.11.
        """
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio's own switch
            coroutine = task.get_coro()
            if not task.done() and inspect.iscoroutine(coroutine):
                with suppress(RuntimeError):  # It would go on waiting.
                    coroutine.close()
        self._tasks.clear()
        self._ready.clear()
        self._timers.clear()

    def unheard(self) -> list[str]:
        """The errors that ended tasks and that nobody has asked for: asyncio would only log them, and that some day."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        errors = [(task, task.exception()) for task in ended if task._log_traceback]  # noqa: SLF001 - asyncio's own mark
        return [
            f"{task.get_coro()}: {type(error).__name__}: {error}"
            for task, error in errors
            if not isinstance(error, CrashedError)
        ]

    def _step(self) -> None:
        if not self._ready:
            if not self._timers:
                raise RuntimeError(f"nothing is left to happen at {self._now_s:.3f} s, and the end is still awaited")
            when, _, _, timer = heapq.heappop(self._timers)
            if timer.cancelled():
                return
            self._now_s = max(self._now_s, when)
            self._ready.append(timer)
        handle = self._ready.popleft()
        process: Process | None = handle._context.get(_CURRENT)  # type: ignore[attr-defined]  # noqa: SLF001 - where asyncio keeps it
        if process is not None:
            if not process.is_alive:
                return
            if process.is_paused:
                process.waiting.append(handle)
                return
        if not handle.cancelled():
            self.steps += 1
            handle._run()  # noqa: SLF001 - a loop is who runs handles

    def kill(self, process: Process) -> None:
        """The process ends like after SIGKILL: nothing of it runs any more, not even what tidies up."""
        process.is_alive = False
        process.waiting.clear()

    def resume(self, process: Process) -> None:
        """A paused process goes on where it was, with all that has come for it."""
        process.is_paused = False
        self._ready.extend(process.waiting)
        process.waiting.clear()

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + max(0.0, delay), callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1
        heapq.heappush(self._timers, (when, self._tie(), self._made, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio tells of a cancelled timer; it is passed over when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        assert inspect.iscoroutine(coro), "no generator is a task any more"
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]  # noqa: ANN401, ARG002 - typeshed binds the arguments to the function
        """What production does in a thread is done here, a moment later."""
        result = self.create_future()

        def call() -> None:
            if result.cancelled():
                return
            try:
                result.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
                result.set_exception(error)

        self.call_later(self._work_s(), call)
        return result

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody waited for: kept, because production would only have logged it."""
        error = context.get("exception")
        if isinstance(error, CrashedError):
            return
        self.errors.append(f"{context.get('message')}: {type(error).__name__}: {error}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
