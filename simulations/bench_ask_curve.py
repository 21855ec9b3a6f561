"""A part of `recount bench ask`: latency against load, each request due at its time, as figures and as a plot."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from simulations.ask_traffic import never_twice, zipf
from simulations.bench_stack import Address
from simulations.steady_load import SteadyLoad, Times, times_of

CACHED_LOADS = (250, 500, 1_000, 1_500, 2_000)
UNCACHED_LOADS = (50, 100, 150, 200, 250, 300)


class LoadPoint(msgspec.Struct, frozen=True, kw_only=True):
    """So many requests were due in a second; how long each took from when it was due."""

    per_second: float
    times: Times


async def ask_steadily(at: Address, requests: Callable[[], bytes], *, per_second: float, seconds: float) -> Times:
    """Questions at a steady rate, with the wait for whatever was due before."""
    load = SteadyLoad(at.host, at.port, requests, per_second=per_second)
    asking = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    load.stop()
    await asking
    return times_of(load.answered)


async def curves(
    at: Address, questions: Sequence[str], payments: Sequence[str], seconds: float, say: Callable[[str], None]
) -> tuple[list[LoadPoint], list[LoadPoint]]:
    """Repeated and new questions at rising loads."""
    cached, uncached = [], []
    for load in CACHED_LOADS:
        say(f"cached, {load}/s, {seconds:g} s")
        times = await ask_steadily(at, zipf(at.netloc, questions), per_second=load, seconds=seconds)
        cached.append(LoadPoint(per_second=load, times=times))
    for load in UNCACHED_LOADS:
        say(f"uncached, {load}/s, {seconds:g} s")
        requests = never_twice(at.netloc, payments, f" at {load}")
        uncached.append(
            LoadPoint(per_second=load, times=await ask_steadily(at, requests, per_second=load, seconds=seconds))
        )
    return cached, uncached


def draw(cached: Sequence[LoadPoint], uncached: Sequence[LoadPoint], title: str, path: Path) -> None:
    """Latency against load: p50 and p95, one panel for each kind of question."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second that a run without a plot does not need

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2))
    for panel, points, name in zip(panels, (cached, uncached), ("repeated", "new"), strict=True):
        loads = [each.per_second for each in points]
        panel.plot(loads, [each.times.p50_ms for each in points], marker="o", label="p50")
        panel.plot(loads, [each.times.p95_ms for each in points], marker="o", label="p95")
        panel.set_yscale("log")
        panel.set_xlim(left=0)
        panel.set_xlabel(f"{name} questions/s, each due at its time")
        panel.set_ylabel("ms until the answer")
        panel.grid(visible=True, which="both", alpha=0.3)
        panel.legend()
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
