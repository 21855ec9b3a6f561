"""Every message is counted, and no stranger's name becomes a label."""

from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.tally import UNKNOWN, Tallied, Tally


def test_messages_are_counted_by_tenant_and_source_and_all_strangers_as_one() -> None:
    tally = Tally({"acme": TenantSettings(sources={"shop": SourceSettings()})}, kinds=["stripe"])
    for number in range(100):
        tally.count(f"stranger-{number}", "stripe", is_quarantined=True)
        tally.count("acme", f"whatever-{number}", is_quarantined=True)
        tally.count("acme", "stripe", is_quarantined=number < 1)
    tally.count("acme", "shop", is_quarantined=False)

    assert sorted(tally.totals(), key=lambda each: (each.tenant, each.source)) == [
        Tallied(tenant=UNKNOWN, source=UNKNOWN, messages=100, quarantined=100),
        Tallied(tenant="acme", source=UNKNOWN, messages=100, quarantined=100),
        Tallied(tenant="acme", source="shop", messages=1, quarantined=0),
        Tallied(tenant="acme", source="stripe", messages=100, quarantined=1),
    ]
