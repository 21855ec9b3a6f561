"""What was put aside and is sent in again counts as if it had come in time; what is good of a message counts."""

from pathlib import Path

import msgspec
import pytest

from actors.recorder import LogRecorder
from domain.payment import PaymentView, fold
from domain.payment_saga import FactRecorded
from domain.tenant_settings import SourceSettings, TenantSettings
from gateway.intake import QUARANTINE_HEADER, Incoming, Intake, Settled
from gateway.quarantine import Quarantine
from gateway.sources import Sources
from tests.gateway.sources.adyen_examples import item, notification
from tests.gateway.sources.mapped import encoded
from tests.gateway.sources.standard_webhooks_examples import SETTINGS, payment, refund
from tests.spec import NOON
from tests.worlds import entries_in, handled, new_log, new_shard

# The refund succeeded and then failed; what says so comes between the two, or long after.
PAID = payment("PAID", "12:00:00")
DONE = refund("DONE", "12:00:05")
BOUNCED = refund("BOUNCED", "12:00:10")
OPEN = refund("OPEN", "12:00:02")


class World:
    """An intake with a log and a quarantine of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.recorder: LogRecorder = new_log(directory)
        self.quarantine = Quarantine(directory, tenants=["acme"])
        self._submit = handled(new_shard(self.recorder))
        self._sequence = 0

    async def take_in(self, settings: SourceSettings, *bodies: bytes, source: str = "shop", again: str = "") -> Settled:
        """Take messages in as a node with these settings does, sent in again from an entry or not."""
        intake = Intake(
            self._submit,
            self.quarantine,
            sources=Sources({"acme": TenantSettings(sources={source: settings})}),
            clock=lambda: NOON,
        )
        self._sequence += len(bodies)
        headers = {QUARANTINE_HEADER: again} if again else {}
        incoming = [
            Incoming(subject=f"ingest.acme.{source}", body=body, headers=headers, sequence=self._sequence + number)
            for number, body in enumerate(bodies)
        ]
        return await intake.settle([intake.read(each) for each in incoming])

    def view(self, payment_id: str) -> PaymentView:
        """The payment as the whole log tells it."""
        events = [entry.envelope().event for entry in entries_in(self.recorder)]
        return fold(payment_id, [event.fact for event in events if isinstance(event, FactRecorded)])

    def close(self) -> None:
        self.quarantine.close()
        self.recorder.datastore.close()


def without_a_word_for_failure() -> SourceSettings:
    """The settings with a mapping that does not know what BOUNCED means."""
    text = msgspec.json.encode(SETTINGS)
    broken = text.replace(b',"BOUNCED":"failed"', b"")
    assert broken != text
    return msgspec.json.decode(broken, type=SourceSettings)


async def test_a_message_that_a_wrong_mapping_refused_counts_after_the_mapping_is_mended_as_if_it_had_come_then(
    tmp_path: Path,
) -> None:
    in_time, late = World(tmp_path / "in_time"), World(tmp_path / "late")
    for said in (PAID, OPEN, BOUNCED, DONE):
        await in_time.take_in(SETTINGS, encoded(said))

    wrong = without_a_word_for_failure()
    assert await late.take_in(wrong, *map(encoded, (PAID, BOUNCED, OPEN, DONE))) == Settled(recorded=3, quarantined=1)
    assert late.view("order_1").refunded_minor == 1950
    (entry,) = late.quarantine.listed("acme", source="shop")
    kept = late.quarantine.message("acme", entry.id)
    assert kept is not None
    assert kept.raw == encoded(BOUNCED)

    late.quarantine.mark("acme", [entry.id], "requeued")
    assert await late.take_in(SETTINGS, kept.raw, again=entry.id) == Settled(recorded=1)

    assert late.view("order_1") == in_time.view("order_1")
    assert late.view("order_1").refunded_minor == 0
    assert [each.state for each in late.quarantine.listed("acme", state=None)] == ["applied"]
    assert await late.take_in(SETTINGS, kept.raw, again=entry.id) == Settled(unchanged=1)
    in_time.close()
    late.close()


@pytest.mark.parametrize("bad_first", [True, False])
async def test_a_message_of_which_a_part_is_refused_is_recorded_and_put_aside(
    tmp_path: Path,
    bad_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    world = World(tmp_path)
    good, bad = item("AUTHORISATION"), item("CAPTURE", "CAPTURE1", eventDate="yesterday")
    body = notification(bad, good) if bad_first else notification(good, bad)

    assert await world.take_in(SourceSettings(), body, source="adyen") == Settled(quarantined=1)

    assert len([each for each in entries_in(world.recorder) if isinstance(each.envelope().event, FactRecorded)]) == 1
    (entry,) = world.quarantine.listed("acme")
    assert (entry.source, entry.code) == ("adyen", "event.time_malformed")
    assert await world.take_in(SourceSettings(), body, source="adyen") == Settled(quarantined=1)
    assert [each.deliveries for each in world.quarantine.listed("acme")] == [2]
    world.close()
