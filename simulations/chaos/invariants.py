"""What must hold whatever was done to a node. One violation, and its trial is worth nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec

from domain.effects import EffectPerformed
from domain.errors import TerminalError
from gateway.http.views import payment_json
from gateway.quarantine import Quarantine, quarantine_id
from gateway.sources import stripe
from gateway.sources.port import Unreadable
from projections.feed import Feed
from projections.feeds import feed_at
from simulations.chaos.target import TENANTS, Target, api_key
from simulations.oracle import History

DRAIN_TIMEOUT_S = 90.0
DRAIN_POLL_S = 0.2
SEEN_MAX = 5
FOREIGN_MAX = 20
PAGE = 200


class Checks:
    """Looks at a node that has come to rest.

    Args:
        target: the node.
        accepted: the bodies of all webhooks that it ever said it has taken, by tenant.
    """

    def __init__(self, target: Target, accepted: Mapping[str, Sequence[bytes]]) -> None:
        self._target = target
        self._accepted = accepted

    async def broken(self, wanted: Sequence[str]) -> dict[str, list[str]]:
        """The invariants that do not hold, each with what was seen first.

        Raises `TerminalError` if the node does not come to rest: what was accepted never became visible.
        """
        async with httpx.AsyncClient(base_url=self._target.direct_url, timeout=20) as client:
            await self._drained(client)
            views = {tenant: await _views(client, tenant) for tenant in TENANTS}
            with closing(feed_at(self._target.store)) as feed:
                history = History(feed)
                await asyncio.to_thread(history.read)
                found = {
                    "accepted_kept": lambda: self._lost(history),
                    "views_refold": lambda: _unlike(history, views),
                    "nothing_twice": lambda: [*_twice(history, feed), *self._target.merchant.doubled()],
                }
                broken = {name: await asyncio.to_thread(look) for name, look in found.items() if name in wanted}
            if "tenants_apart" in wanted:
                broken["tenants_apart"] = await _foreign(client, history, views)
        return {name: seen[:SEEN_MAX] for name, seen in broken.items() if seen}

    async def _drained(self, client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {api_key(TENANTS[0])}"}
        lag: dict[str, Any] = {}
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not lag or lag["ingest_pending"] or set(lag["projected"].values()) != {lag["head"]}:
                    await asyncio.sleep(DRAIN_POLL_S)
                    try:
                        response = await client.get("/v1/lag", headers=headers)
                    except httpx.HTTPError:
                        continue
                    lag = response.json() if response.is_success else {}
        except TimeoutError:
            raise TerminalError(f"the node does not come to rest: {lag or 'it does not answer'}") from None

    def _lost(self, history: History) -> list[str]:
        """What was accepted is a fact, a sighting or in quarantine."""
        quarantine = Quarantine(Path(self._target.data), tenants=TENANTS)
        lost = []
        for tenant, bodies in self._accepted.items():
            for body in bodies:
                reading = stripe.read(body, headers={}, ref="")
                if isinstance(reading, Unreadable):
                    is_there = False
                elif reading.sighting is not None:
                    is_there = (tenant, f"stripe/{reading.event_id}") in history.seen
                else:
                    is_there = all(history.has(tenant, fact) for fact in reading.facts)
                if not is_there and quarantine.entry(tenant, quarantine_id("stripe", body)) is None:
                    lost.append(f"{tenant}: {body[:80]!r} was accepted and is nowhere")
        quarantine.close()
        return lost


def _unlike(history: History, views: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where a view differs from the fold of the log."""
    unlike, now = [], datetime.now(UTC)
    for tenant in TENANTS:
        wanted = {
            name: msgspec.to_builtins(payment_json(view, as_of=now)) for name, view in history.views(tenant).items()
        }
        for name in dict.fromkeys([*wanted, *views[tenant]]):
            is_, should_be = (
                ({**each, "as_of": ""} if each else None) for each in (views[tenant].get(name), wanted.get(name))
            )
            if is_ != should_be:
                unlike.append(f"{tenant}/{name} is {is_} and should be {should_be}")
    return unlike


def _timeless(view: Any) -> Any:  # noqa: ANN401 - a view's JSON, and the same
    """A view without when it was asked for."""
    return {**view, "as_of": ""} if view else None


def _twice(history: History, feed: Feed) -> list[str]:
    """Facts and effects that are in the log more than once, versions with a gap, and an older epoch after a newer."""
    twice = [f"{stream} has {fact_id} twice" for stream, fact_id in history.repeated]
    versions: dict[str, int] = {}
    for stream, version, _, position in history.entries:
        if version != versions.get(stream, 0) + 1:
            twice.append(f"{stream} has version {version} after {versions.get(stream, 0)} at {position}")
        versions[stream] = version
    performed: set[tuple[str, str]] = set()
    for entry in feed.read(0, limit=1_000_000, topics=("effect.performed",)).entries:
        event = entry.envelope().event
        assert isinstance(event, EffectPerformed), "its topic says so"
        if (entry.stream, event.step) in performed:
            twice.append(f"{entry.stream}: {event.step} was performed twice")
        performed.add((entry.stream, event.step))
    return twice


async def _foreign(client: httpx.AsyncClient, history: History, views: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What one tenant can see of another."""
    seen = []
    for tenant in TENANTS:
        others = {name for other in TENANTS if other != tenant for name in history.views(other)}
        seen += [f"{tenant} lists {name}, which is another's" for name in others & views[tenant].keys()]
        headers = {"Authorization": f"Bearer {api_key(tenant)}"}
        for name in sorted(others - history.views(tenant).keys())[:FOREIGN_MAX]:
            response = await client.get(f"/v1/{tenant}/payments/{name}", headers=headers)
            if response.status_code != httpx.codes.NOT_FOUND:
                seen.append(f"{tenant} asked for {name}, which is another's, and got {response.status_code}")
        other = next(each for each in TENANTS if each != tenant)
        response = await client.get(f"/v1/{other}/payments", headers=headers)
        if response.status_code != httpx.codes.NOT_FOUND:
            seen.append(f"{tenant}'s key opens {other}: {response.status_code}")
    return seen


async def _views(client: httpx.AsyncClient, tenant: str) -> dict[str, Any]:
    """Every payment view of a tenant over HTTP, by id."""
    found: dict[str, Any] = {}
    params: dict[str, str | int] = {"limit": PAGE}
    while True:
        response = await client.get(
            f"/v1/{tenant}/payments", params=params, headers={"Authorization": f"Bearer {api_key(tenant)}"}
        )
        response.raise_for_status()
        page = response.json()
        found |= {view["payment_id"]: view for view in page["payments"]}
        if page["cursor"] is None:
            return found
        params["cursor"] = page["cursor"]
