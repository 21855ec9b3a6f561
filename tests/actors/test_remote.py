"""Calls to hosts while there is no Ray to carry them."""

import pytest
import ray

from actors.remote import RayEndpoint, bring_up_ray, kill_host, ray_beside
from domain.errors import RetryableError, TerminalError

NOBODY = "127.0.0.1:1"


async def test_a_call_before_ray_is_there_is_refused_and_starts_none() -> None:
    with pytest.raises(RetryableError, match="Ray is being started"):
        await RayEndpoint("payments-0").call("ping", b"")
    kill_host("payments-0")
    assert not ray.is_initialized()


async def test_a_ray_that_did_not_start_leaves_calls_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_cluster(**_: object) -> None:
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(ray, "init", no_cluster)
    async with ray_beside(NOBODY) as starting:
        with pytest.raises(TerminalError, match="no cluster answers there"):
            await starting
    with pytest.raises(TerminalError, match="no cluster answers there"):
        await bring_up_ray(NOBODY)
    with pytest.raises(RetryableError, match="Ray is being started"):
        await RayEndpoint("payments-0").call("ping", b"")
