"""A node's intakes: how the rates are divided at every moment of a change, and which changes are none."""

from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from actors.supervisor import HostSpec, Supervisor
from domain.errors import RetryableError, TerminalError
from domain.settings import RaySettings
from domain.watch_settings import ScalingSettings
from gateway.scaling import Intakes
from gateway.tally import Tallied
from tests.hosted import Hosted, Hosts, spec_of

LEAST, MOST = 1, 3
SETTINGS = ScalingSettings(drain_s=10, behind_s=15, quiet_s=60)
LAST = [Tallied(tenant="acme", source="stripe", messages=7, quarantined=1)]


class Node:
    """Intakes whose work is made up, and the sum of what all of them may take, seen at every change."""

    def __init__(self) -> None:
        self.hosts = Hosts(self._started)
        self.supervisor = Supervisor([spec_of("payments-0"), spec_of("intake-0", MOST)], processes=self.hosts)
        self.backlog = 0
        self.now_s = 1_000.0
        self.kept: dict[str, list[Tallied]] = {}
        self.shares: list[float] = []
        self.intakes = Intakes(
            self.supervisor,
            ray=RaySettings(intakes=LEAST, intakes_max=MOST),
            settings=SETTINGS,
            spec_of=lambda number: spec_of(f"intake-{number}", MOST),
            backlog=self._waiting,
            keep=self.kept.__setitem__,
            clock_s=lambda: self.now_s,
        )

    async def _waiting(self) -> int:
        return self.backlog

    def _started(self, spec: HostSpec, host: Hosted) -> None:
        if spec.name.startswith("intake-"):
            host.stats = {"divided_by": msgspec.msgpack.decode(spec.place), "messages": 0}
            host.stats |= {"up_seconds": 0, "idle_seconds": 0}
            host.reply = self._replying(host)
            self._note()

    def _replying(self, host: Hosted) -> Callable[[str, bytes], bytes]:
        def reply(method: str, payload: bytes) -> bytes:
            if method == "divide":
                host.stats["divided_by"] = msgspec.msgpack.decode(payload)
                self._note()
            return msgspec.msgpack.encode(LAST) if method == "finish" else b""

        return reply

    def _note(self) -> None:
        self.shares.append(sum(1 / each.stats["divided_by"] for each in self.at_work.values()))

    @property
    def at_work(self) -> dict[str, Hosted]:
        return {name: host for name, host in self.hosts.there.items() if name.startswith("intake-")}

    @property
    def divided_by(self) -> dict[str, float]:
        return {name: host.stats["divided_by"] for name, host in self.at_work.items()}

    async def heard(self) -> None:
        """Let the supervisor hear how everyone is, as it does twice a second."""
        for name, watched in self.supervisor._watched.items():
            watched.health = None if self.hosts.there[name].is_silent else await watched.endpoint.health(1)

    async def work(self, seconds: int, *, busy: float, per_second: float = 1_000.0) -> None:
        """Let every intake do the same for so long, and look every second."""
        for _ in range(seconds):
            self.now_s += 1
            for host in self.at_work.values():
                host.stats["up_seconds"] += 1
                host.stats["idle_seconds"] += 1 - busy
                host.stats["messages"] += per_second
            await self.heard()
            await self.intakes.look()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()
    await made.supervisor.start()
    yield made
    await made.supervisor.stop()


async def test_the_first_intakes_are_told_their_number_and_took_no_more_than_theirs_before(node: Node) -> None:
    assert node.divided_by == {"intake-0": MOST}
    await node.work(1, busy=0)

    assert node.divided_by == {"intake-0": 1}


async def test_the_rates_hold_at_every_moment_of_coming_and_going(node: Node) -> None:
    await node.work(1, busy=0)
    for name in ("intake-1", "intake-2"):
        await node.intakes.add(name)
        await node.work(1, busy=0)
    assert node.divided_by == {"intake-0": 3, "intake-1": 3, "intake-2": 3}
    for name in ("intake-2", "intake-1"):
        await node.intakes.remove(name)
        await node.work(1, busy=0)

    assert node.divided_by == {"intake-0": 1}
    assert max(node.shares) <= 1 + 1e-9
    assert node.shares[-1] == pytest.approx(1)


async def test_an_intake_that_is_started_again_is_told_the_number_anew(node: Node) -> None:
    await node.intakes.add("intake-1")
    await node.work(1, busy=0)
    await node.supervisor.restart("intake-0")
    assert node.divided_by["intake-0"] == MOST

    await node.work(1, busy=0)

    assert node.divided_by == {"intake-0": 2, "intake-1": 2}


async def test_nothing_is_started_that_could_take_more_than_the_rate(node: Node) -> None:
    await node.work(1, busy=0)
    node.hosts.there["intake-0"].is_silent = True
    with pytest.raises(RetryableError):
        await node.intakes.add("intake-1")
    assert node.intakes.names == ["intake-0"]

    node.hosts.there["intake-0"].is_silent = False
    await node.work(1, busy=0)
    assert node.divided_by == {"intake-0": 1}


async def test_one_that_does_not_start_gives_its_share_back(node: Node) -> None:
    await node.work(1, busy=0)

    def unable(spec: HostSpec, host: Hosted) -> None:
        raise RetryableError("no memory")

    node.hosts.on_start = unable
    with pytest.raises(RetryableError, match="no memory"):
        await node.intakes.add("intake-1")
    await node.work(1, busy=0)

    assert node.divided_by == {"intake-0": 1}


async def test_who_is_behind_for_long_wants_the_next_one_up_to_the_most(node: Node) -> None:
    node.backlog = 10**6
    await node.work(18, busy=1)
    assert node.intakes.wanted() == []
    await node.work(2, busy=1)
    assert node.intakes.wanted() == ["intake-1"]

    await node.intakes.add("intake-1")
    assert node.intakes.wanted() == [], "what was seen was of one fewer"
    await node.work(20, busy=1)
    assert node.intakes.wanted() == ["intake-2"]
    await node.intakes.add("intake-2")
    await node.work(30, busy=1)

    assert node.intakes.wanted() == []
    assert "1000000 messages wait, 333 s at 3000/s, 100% busy" in node.intakes.seen()


async def test_while_another_host_is_silent_none_is_wanted(node: Node) -> None:
    node.backlog = 10**6
    await node.work(20, busy=1)
    node.hosts.there["payments-0"].is_silent = True
    await node.work(1, busy=1)

    assert node.intakes.wanted() == []


async def test_one_more_is_unhelpful_until_it_is_seen_to_help(node: Node) -> None:
    node.backlog = 10**6
    await node.work(20, busy=1)
    await node.intakes.add("intake-1")
    assert node.intakes.unhelpful() == ["intake-1"]
    await node.work(5, busy=1, per_second=500)
    assert node.intakes.unhelpful() == ["intake-1"], "two do as much as one did"

    await node.work(30, busy=1, per_second=600)

    assert node.intakes.unhelpful() == []


async def test_one_that_is_not_even_there_does_not_help(node: Node) -> None:
    await node.work(5, busy=0)

    assert node.intakes.unhelpful() == ["intake-1"]


async def test_the_last_one_is_spare_when_it_is_quiet_and_the_first_one_never(node: Node) -> None:
    await node.intakes.add("intake-1")
    await node.work(62, busy=0.1)
    assert node.intakes.spare() == []
    await node.work(3, busy=0.1)
    assert node.intakes.spare() == ["intake-1"]

    await node.intakes.remove("intake-1")
    assert node.intakes.missed() == ["intake-1"], "nothing is seen yet"
    await node.work(100, busy=0)
    assert node.intakes.missed() == []

    assert node.intakes.spare() == []
    assert node.intakes.names == ["intake-0"]


async def test_one_that_went_is_missed_if_the_others_are_behind_without_it(node: Node) -> None:
    await node.intakes.add("intake-1")
    await node.intakes.remove("intake-1")
    node.backlog = 10**6
    await node.work(5, busy=1)

    assert node.intakes.missed() == ["intake-1"]


async def test_what_the_last_one_counted_is_kept(node: Node) -> None:
    await node.intakes.add("intake-1")
    await node.intakes.remove("intake-1")

    assert node.kept == {"intake-1": LAST}


@pytest.mark.parametrize("name", ["intake-2", "intake-7", "payments-1", ""])
async def test_none_is_added_but_the_next(node: Node, name: str) -> None:
    with pytest.raises(TerminalError):
        await node.intakes.add(name)


async def test_none_is_added_above_the_most_and_none_removed_below_the_least(node: Node) -> None:
    with pytest.raises(TerminalError):
        await node.intakes.remove("intake-0")
    await node.intakes.add("intake-1")
    await node.intakes.add("intake-2")
    with pytest.raises(TerminalError):
        await node.intakes.add("intake-3")
    with pytest.raises(TerminalError):
        await node.intakes.remove("intake-1")


async def test_what_is_done_already_is_done_again_without_harm(node: Node) -> None:
    await node.intakes.add("intake-1")
    pid = node.hosts.there["intake-1"].pid
    await node.intakes.add("intake-1")
    assert node.hosts.there["intake-1"].pid == pid

    await node.intakes.remove("intake-1")
    await node.intakes.remove("intake-1")
    assert node.intakes.names == ["intake-0"]
