"""A host that is added is watched as the others, and one that is removed has finished and does not come again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors import supervisor as module
from actors.supervisor import Endpoint, HostSpec, Supervisor
from domain.errors import RetryableError
from tests.hosted import Hosted, Hosts, spec_of


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def told() -> list[tuple[str, str]]:
    """Events and the hosts that they are of."""
    return []


@pytest.fixture
async def supervisor(
    hosts: Hosts, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Supervisor]:
    """It has started `payments-0` and `intake-0`."""
    for name, value in (("PING_EVERY_S", 0.005), ("START_TIMEOUT_S", 0.05)):
        monkeypatch.setattr(module, name, value)
    # A process id of a test's making may be somebody's.
    monkeypatch.setattr(Supervisor, "_is_restarting", lambda self, watched: False)
    made = Supervisor(
        [spec_of("payments-0"), spec_of("intake-0")],
        on_event=lambda event, fields: told.append((event, str(fields["host"]))),
        processes=hosts,
    )
    await made.start()
    yield made
    await made.stop()
    assert hosts.there == {}


async def until(is_so: object) -> None:
    assert callable(is_so)
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - the supervisor tells nobody
            await asyncio.sleep(0.001)


async def finished(endpoint: Endpoint) -> None:
    await endpoint.call("finish", b"")


async def test_a_host_that_is_added_is_known_watched_and_replaced_as_the_others(
    supervisor: Supervisor, hosts: Hosts
) -> None:
    await supervisor.add(spec_of("intake-1"))
    health = supervisor.health()["intake-1"]
    assert health is not None
    assert health.pid == hosts.there["intake-1"].pid
    assert await supervisor.endpoint("intake-1").call("divide", b"2") == b""

    hosts.there["intake-1"].is_silent = True
    await until(lambda: supervisor.replacements()["intake-1"] == 1)
    await until(lambda: supervisor.health()["intake-1"] is not None)


async def test_a_host_that_does_not_start_leaves_nothing_behind(supervisor: Supervisor, hosts: Hosts) -> None:
    def silent(spec: HostSpec, host: Hosted) -> None:
        host.is_silent = True

    hosts.on_start = silent
    with pytest.raises(RetryableError, match="did not start"):
        await supervisor.add(spec_of("intake-1"))

    assert hosts.there.keys() == {"payments-0", "intake-0"}
    assert supervisor.health().keys() == {"payments-0", "intake-0"}


async def test_a_start_that_is_given_up_leaves_nothing_behind(supervisor: Supervisor, hosts: Hosts) -> None:
    def silent(spec: HostSpec, host: Hosted) -> None:
        host.is_silent = True

    hosts.on_start = silent
    adding = asyncio.create_task(supervisor.add(spec_of("intake-1")))
    await until(lambda: "intake-1" in hosts.there)
    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)

    assert "intake-1" not in hosts.there
    assert "intake-1" not in supervisor.health()


async def test_a_host_that_is_there_is_not_added_again(supervisor: Supervisor, hosts: Hosts) -> None:
    with pytest.raises(RetryableError, match="there already"):
        await supervisor.add(spec_of("intake-0"))
    assert "intake-0" in hosts.there


async def test_a_host_that_is_removed_finishes_first_and_is_not_started_again(
    supervisor: Supervisor, hosts: Hosts, told: list[tuple[str, str]]
) -> None:
    await supervisor.add(spec_of("intake-1"))
    host = hosts.there["intake-1"]

    await supervisor.remove("intake-1", finish=finished)
    await asyncio.sleep(10 * module.PING_EVERY_S)

    assert host.asked[-1] == ("finish", b"")
    assert hosts.there.keys() == supervisor.health().keys() == {"payments-0", "intake-0"}
    assert told[-1] == ("host_removed", "intake-1")
    with pytest.raises(RetryableError, match="no host"):
        await supervisor.remove("intake-1", finish=finished)


async def test_a_host_that_cannot_finish_is_ended_all_the_same(supervisor: Supervisor, hosts: Hosts) -> None:
    await supervisor.add(spec_of("intake-1"))
    hosts.there["intake-1"].is_silent = True

    await supervisor.remove("intake-1", finish=finished)

    assert "intake-1" not in hosts.there
    assert "intake-1" not in supervisor.health()


async def test_a_removal_that_is_given_up_ends_the_host(supervisor: Supervisor, hosts: Hosts) -> None:
    async def never(endpoint: Endpoint) -> None:
        await asyncio.Event().wait()

    await supervisor.add(spec_of("intake-1"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await supervisor.remove("intake-1", finish=never)

    assert "intake-1" not in hosts.there
    assert "intake-1" not in supervisor.health()


async def test_all_hosts_start_again_with_those_that_were_added(supervisor: Supervisor, hosts: Hosts) -> None:
    await supervisor.add(spec_of("intake-1"))
    hosts.there.clear()

    await supervisor.start_again()

    assert hosts.there.keys() == {"payments-0", "intake-0", "intake-1"}
    assert supervisor.replacements() == {"payments-0": 1, "intake-0": 1, "intake-1": 1}


async def test_what_an_earlier_one_left_is_ended_and_nothing_else(supervisor: Supervisor, hosts: Hosts) -> None:
    hosts.start(spec_of("intake-1"))

    supervisor.end_left(["intake-0", "intake-1", "intake-2"])

    assert hosts.there.keys() == {"payments-0", "intake-0"}
