"""A provider's API beside its webhooks: what was missed is recovered, what has come changes nothing, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from actors.journal import Journal
from actors.recorder import LogRecorder
from domain.codec import Submission
from domain.errors import RetryableError, TerminalError
from domain.ids import stream_id
from domain.message import Reply
from domain.polling import Poll, PollSettings
from domain.tenant_settings import NotifySettings, SourceSettings, TenantSettings
from gateway.bus import Outgoing
from gateway.intake import CORRELATION_HEADER, Incoming, Intake
from gateway.polling import Cursors, Poller, pollers_of
from gateway.polling_http import ATTEMPTS_MAX, Asker
from gateway.quarantine import Quarantine
from gateway.sources import Sources, without_secrets
from tests.gateway.api_provider import Provider, Told, running
from tests.gateway.sources.examples import CREATED, event, intent
from tests.gateway.sources.json_api_examples import ITEM, MAPPING
from tests.gateway.sources.mapped import mapping
from tests.spec import NOON
from tests.worlds import facts_in, handled, new_log, new_shard

pytestmark = pytest.mark.stack

KEY = "sk_test_of_acme"
LATER = NOON + timedelta(hours=1)
JSON_API = SourceSettings(kind="json-api", mapping=mapping(MAPPING))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running() as started:
        yield started


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[LogRecorder]:
    log = new_log(tmp_path)
    yield log
    log.datastore.close()


@pytest.fixture
def quarantine(tmp_path: Path) -> Iterator[Quarantine]:
    opened = Quarantine(tmp_path)
    yield opened
    opened.close()


class World:
    """A log, an intake behind the stream, and a provider that is asked."""

    def __init__(
        self, recorder: LogRecorder, quarantine: Quarantine, client: httpx.AsyncClient, provider: Provider
    ) -> None:
        self.recorder = recorder
        self.provider = provider
        self.now: datetime = LATER
        self.pauses: list[float] = []
        self.published: list[Outgoing] = []
        self.submit: Callable[[Sequence[Submission]], Awaitable[list[Reply]]] = handled(new_shard(recorder))
        self._client = client
        sources = Sources({"acme": TenantSettings(sources={"acquirer": JSON_API})})
        self._intake = Intake(self.submit, quarantine, sources=sources, clock=lambda: NOON)

    async def publish(self, message: Outgoing) -> int:
        self.published.append(message)
        await self.arrive(message.subject, message.body)
        return len(self.published)

    async def arrive(self, subject: str, body: bytes) -> None:
        """A message is taken in, from wherever it came."""
        incoming = Incoming(subject=subject, body=body, headers={}, sequence=len(self.published))
        settled = await self._intake.settle([self._intake.read(incoming)])
        assert settled.quarantined == 0

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def poller(self, source: str = "stripe", path: str = "/v1/events", **settings: Any) -> Poller:
        """A poller as a node that has just started makes it."""
        given = PollSettings(**{"url": f"{self.provider.url}{path}", "key": KEY, "timeout_s": 1.0, **settings})
        asker = Asker(
            self._client,
            timeout_s=given.timeout_s,
            clock=lambda: self.now,
            pause=self.pause,
            jitter=lambda: 0.5,
        )
        return Poller(
            "acme",
            source,
            "stripe" if source == "stripe" else "json-api",
            given,
            asker=asker,
            publish=self.publish,
            cursors=Cursors(Journal(self.recorder), self._submit_now),
            clock=lambda: self.now,
            pause=self.pause,
            jitter=lambda: 0.5,
        )

    async def _submit_now(self, batch: Sequence[Submission]) -> list[Reply]:
        """A test may have put a crash in the place of `submit` since the poller was made."""
        return await self.submit(batch)

    def cursor(self, source: str = "stripe") -> Poll:
        return Cursors(Journal(self.recorder), self.submit).load(stream_id("poll", "acme", source))

    def facts(self) -> int:
        return sum(len(each) for each in facts_in(self.recorder).values())


@pytest.fixture
async def world(recorder: LogRecorder, quarantine: Quarantine, provider: Provider) -> AsyncIterator[World]:
    async with httpx.AsyncClient() as client:
        yield World(recorder, quarantine, client, provider)


def succeeded(number: int, seconds: int = 0) -> bytes:
    return event("payment_intent.succeeded", intent(id=f"pi_{number}"), id=f"evt_{number}", created=CREATED + seconds)


async def test_what_webhooks_missed_is_recovered_and_what_came_changes_nothing(world: World) -> None:
    for number in range(250):
        world.provider.add(succeeded(number, number))
        if number % 5:
            await world.arrive("ingest.acme.stripe", succeeded(number, number))
    before = world.facts()

    assert await world.poller().round() == 250

    assert (before, world.facts()) == (200, 250)
    assert world.cursor() == Poll(cursor="evt_249")
    assert world.published[0].headers[CORRELATION_HEADER].startswith("poll-stripe-evt_")
    assert {each.headers["authorization"] for each in world.provider.asked} == {f"Bearer {KEY}"}


async def test_a_round_goes_on_after_the_cursor_page_by_page(world: World) -> None:
    world.provider.add(succeeded(0))
    poller = world.poller(page_size=10, params={"delivery_success": "false"})
    await poller.round()
    for number in range(1, 26):
        world.provider.add(succeeded(number, number))
    del world.provider.asked[:]

    assert await poller.round() == 25

    assert [each.params["ending_before"] for each in world.provider.asked] == ["evt_0", "evt_10", "evt_20"]
    assert all(each.params["delivery_success"] == "false" for each in world.provider.asked)
    assert [each.body for each in world.published] == sorted((each.body for each in world.published), key=number_of)
    assert await poller.round() == 0


def number_of(body: bytes) -> int:
    return int(msgspec.json.decode(body)["id"].removeprefix("evt_"))


async def test_a_restart_goes_on_from_the_log(world: World) -> None:
    world.provider.add(succeeded(0))
    await world.poller().round()
    world.provider.add(succeeded(1, 1))

    assert await world.poller().round() == 1
    assert world.provider.asked[-1].params["ending_before"] == "evt_0"
    assert world.cursor().cursor == "evt_1"


async def test_a_crash_between_a_page_and_its_cursor_reads_the_page_again(world: World) -> None:
    world.provider.add(succeeded(0))
    submit = world.submit

    async def crash(batch: Sequence[Submission]) -> list[Reply]:
        if batch[0].stream.startswith("poll:"):
            raise RetryableError("killed")
        return await submit(batch)

    world.submit = crash
    with pytest.raises(RetryableError, match="killed"):
        await world.poller().round()
    assert (world.facts(), world.cursor()) == (1, Poll())
    world.submit = submit

    assert await world.poller().round() == 1
    assert (world.facts(), world.cursor()) == (1, Poll(cursor="evt_0"))


async def test_a_page_that_is_published_in_part_moves_no_cursor(world: World) -> None:
    world.provider.add(succeeded(0))
    publish = world.publish

    async def away(message: Outgoing) -> int:
        raise RetryableError("the stream does not take messages now")

    poller = world.poller()
    poller._publish = away
    with pytest.raises(RetryableError, match="stream"):
        await poller.round()
    assert world.cursor() == Poll()

    poller._publish = publish
    assert await poller.round() == 1


async def test_an_event_that_appears_late_is_found_inside_the_overlap(world: World) -> None:
    world.now = NOON + timedelta(seconds=30)
    world.provider.add(succeeded(0, -600))
    world.provider.add(succeeded(1, 0))
    world.provider.add(succeeded(3, 20))
    poller = world.poller(overlap_s=60.0)
    await poller.round()
    assert world.cursor().cursor == "evt_0"
    world.provider.events.insert(1, msgspec.json.decode(succeeded(2, 10)))

    assert await poller.round() == 1

    assert world.facts() == 4
    world.now = LATER
    assert await poller.round() == 0
    assert world.cursor().cursor == "evt_3"


async def test_a_cursor_that_stripe_has_forgotten_begins_the_look_back_anew(world: World) -> None:
    world.provider.add(succeeded(0))
    await world.poller().round()
    world.provider.events.clear()
    world.provider.add(succeeded(7, 7))

    assert await world.poller().round() == 1
    assert world.cursor().cursor == "evt_7"


async def test_two_readers_of_one_source_lose_nothing(world: World) -> None:
    world.provider.add(succeeded(0))
    await world.poller().round()
    first, second = world.poller(), world.poller()
    world.provider.add(succeeded(1, 1))

    await asyncio.gather(first.round(), second.round(), return_exceptions=True)

    assert (world.facts(), world.cursor().cursor) == (2, "evt_1")


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_api_that_is_busy_is_asked_again_when_it_says(status: int, world: World) -> None:
    world.provider.add(succeeded(0))
    in_a_minute = "Sun, 01 Mar 2026 13:01:00 GMT"
    world.provider.instead += [
        Told(status=status, headers={"Retry-After": "7"}),
        Told(status=status, headers={"Retry-After": in_a_minute}),
        Told(status=status),
    ]

    assert await world.poller().round() == 1
    assert world.pauses == [7 + 0.5 * 1, 60 + 0.5 * 2, 0.5 * 4]


async def test_an_api_that_hangs_or_drops_the_line_is_asked_again(world: World) -> None:
    world.provider.add(succeeded(0))
    world.provider.instead += [Told(hangs=True), Told(status=0)]

    assert await world.poller(timeout_s=0.2).round() == 1
    assert world.pauses == [0.5 * 1, 0.5 * 2]


async def test_an_api_that_stays_away_ends_the_round_and_not_the_poller(world: World) -> None:
    world.provider.instead += [Told(status=500)] * ATTEMPTS_MAX
    with pytest.raises(RetryableError, match="answers 500"):
        await world.poller().round()
    assert len(world.provider.asked) == ATTEMPTS_MAX

    world.provider.add(succeeded(0))
    assert await world.poller().round() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit-Remaining": "0", "RateLimit-Reset": "12"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(LATER.timestamp()) + 12)},
    ],
)
async def test_a_rate_that_is_used_up_is_waited_for(headers: dict[str, str], world: World) -> None:
    poller = world.poller()
    world.provider.instead.append(Told(body={"data": []}, headers=headers))
    await poller.round()
    assert world.pauses == []

    await poller.round()
    assert world.pauses == [12]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (Told(status=401), "check poll.key"),
        (Told(status=302, headers={"Location": "http://elsewhere.example/"}), "poll.url"),
        (Told(body=b"<html>"), "no list of events"),
        (Told(body={"data": [{"id": 1}]}), "no list of events"),
    ],
)
async def test_an_api_that_refuses_or_is_another_one_is_told(told: Told, why: str, world: World) -> None:
    world.provider.instead.append(told)

    with pytest.raises(TerminalError, match=why) as refused:
        await world.poller().round()
    assert KEY not in str(refused.value)


async def test_rounds_go_on_at_their_interval_whatever_happens(world: World) -> None:
    world.provider.instead += [Told(status=401), Told(body=b"<html>")]
    world.provider.add(succeeded(0))
    done = asyncio.Event()

    async def pause(seconds: float) -> None:
        world.pauses.append(seconds)
        if world.facts():
            done.set()
            await asyncio.Event().wait()

    poller = world.poller(every_s=30.0)
    poller._pause = pause
    running_ = asyncio.create_task(poller.run())
    await asyncio.wait_for(done.wait(), 10)
    running_.cancel()
    await asyncio.gather(running_, return_exceptions=True)

    assert world.pauses == [30.0, 30.0, 30.0]


def numbered(number: int) -> dict[str, Any]:
    return ITEM | {"id": f"c-{number}", "order": f"o-{number}", "updated_at": f"2026-03-01T12:{number:02}:00Z"}


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("/pages", {"items_path": "result.rows", "page_param": "page"}),
        ("/linked", {"items_path": "items", "next_path": "links.next"}),
        ("/feed", {"items_path": "items", "next_path": "next", "next_param": "cursor"}),
        ("/changed", {"since_param": "updated_after", "since_path": "updated_at"}),
    ],
)
async def test_every_way_to_turn_pages_reads_every_item_once(path: str, settings: dict[str, Any], world: World) -> None:
    world.provider.items = [numbered(number) for number in range(7)]
    world.provider.page_size = 3
    poller = world.poller("acquirer", path, **settings)

    assert await poller.round() == 7
    assert world.facts() == 7
    assert await poller.round() == 0

    world.provider.items.append(numbered(7))
    assert await poller.round() == 1
    world.provider.items[7] = numbered(7) | {"amount": 25.0}
    if path != "/feed":
        assert await poller.round() == 1


async def test_a_list_that_is_unchanged_is_not_read_again_even_after_a_restart(world: World) -> None:
    world.provider.items = [numbered(0)]
    settings = {"items_path": "result.rows"}
    await world.poller("acquirer", "/pages", **settings).round()

    assert await world.poller("acquirer", "/pages", **settings).round() == 0
    assert world.provider.asked[-1].headers["if-none-match"] == '"1"'
    world.provider.items.append(numbered(1))
    assert await world.poller("acquirer", "/pages", **settings).round() == 2


async def test_times_go_on_from_the_newest_item_less_the_overlap(world: World) -> None:
    world.provider.items = [numbered(5), numbered(3) | {"updated_at": "2099-01-01T00:00:00Z"}]
    settings = {"since_param": "updated_after", "since_path": "updated_at", "overlap_s": 120.0, "lookback_s": 7200.0}
    await world.poller("acquirer", "/changed", **settings).round()
    assert world.provider.asked[-1].params["updated_after"] == "2026-03-01T11:00:00Z"

    await world.poller("acquirer", "/changed", **settings).round()
    assert world.provider.asked[-1].params["updated_after"] == "2026-03-01T12:58:00Z"


async def test_amounts_keep_every_digit_on_their_way(world: World) -> None:
    item = msgspec.json.encode(ITEM).replace(b"19.9", b"1234567890123.10")
    world.provider.instead.append(Told(body=b"[%b]" % item))

    await world.poller("acquirer", "/changed").round()

    assert b"1234567890123.10" in world.published[0].body


async def test_the_credential_never_goes_to_another_host(world: World) -> None:
    world.provider.instead.append(Told(body={"items": [], "next": "http://elsewhere.example/steal"}))

    with pytest.raises(TerminalError, match="another host"):
        await world.poller("acquirer", "/linked", items_path="items", next_path="next").round()


async def test_a_poller_is_made_for_each_source_whose_api_is_asked(recorder: LogRecorder) -> None:
    polled = SourceSettings(poll=PollSettings(key=KEY))
    tenants = {
        "acme": TenantSettings(sources={"stripe": polled, "adyen": SourceSettings()}),
        "globex": TenantSettings(sources={"stripe": polled}),
    }

    async def publish(message: Outgoing) -> int:
        raise AssertionError(message)

    cursors = Cursors(Journal(recorder), handled(new_shard(recorder)))
    async with httpx.AsyncClient() as client:
        made = list(pollers_of(tenants, client=client, publish=publish, cursors=cursors, clock=lambda: NOON))

    assert [(each._tenant, each._source) for each in made] == [("acme", "stripe"), ("globex", "stripe")]
    assert KEY.encode() not in msgspec.msgpack.encode(without_secrets(tenants))


async def test_an_api_that_is_not_named_is_told_at_the_start(recorder: LogRecorder) -> None:
    tenants = {"acme": TenantSettings(sources={"acquirer": SourceSettings(kind="json-api", poll=PollSettings())})}
    cursors = Cursors(Journal(recorder), handled(new_shard(recorder)))

    async def publish(message: Outgoing) -> int:
        raise AssertionError(message)

    async with httpx.AsyncClient() as client:
        with pytest.raises(TerminalError, match=r"tenants\.acme\.sources\.acquirer\.poll\.url"):
            list(pollers_of(tenants, client=client, publish=publish, cursors=cursors, clock=lambda: NOON))


def test_a_tenant_that_is_told_of_corrections_is_one_without_its_secrets_too() -> None:
    notify = NotifySettings(url="https://merchant.example/", secrets=("whsec_c2VjcmV0",))
    tenants = {"acme": TenantSettings(corrections="notify", notify=notify)}

    assert b"whsec_" not in msgspec.msgpack.encode(without_secrets(tenants))
