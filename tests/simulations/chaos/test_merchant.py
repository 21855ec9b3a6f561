"""The merchant's endpoint: what comes again under its id is one thing, and one thing under two ids is seen."""

import httpx

from simulations.chaos.merchant import Merchant


def test_a_notification_that_comes_again_is_the_same_one() -> None:
    merchant = Merchant()
    merchant.told("n-1", b"it failed")
    merchant.told("n-1", b"it failed")
    merchant.told("n-2", b"it succeeded")

    assert (merchant.count, merchant.doubled()) == (2, [])


def test_one_thing_under_two_ids_and_two_under_one_are_seen() -> None:
    merchant = Merchant()
    merchant.told("n-1", b"it failed")
    merchant.told("n-2", b"it failed")
    merchant.told("n-3", b"it succeeded")
    merchant.told("n-3", b"it was canceled")

    assert merchant.doubled() == ["notification n-3 came with 2 bodies", "one came as n-1, n-2"]


async def test_it_takes_notifications_over_http() -> None:
    merchant = Merchant()
    await merchant.start()
    async with httpx.AsyncClient() as client:
        taken = await client.post(f"{merchant.url}acme", content=b"{}", headers={"webhook-id": "n-1"})
    await merchant.stop()

    assert (taken.status_code, merchant.count) == (204, 1)
