"""Where a projector goes on after its tenants' files were lost, in part or whole."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.index import KINDS, ROLE
from actors.journal import Journal
from actors.payment_shard import new_id, now
from actors.recorder import open_log
from actors.shard import Shard
from actors.tenants import Part, Tenants
from domain.codec import decode_submissions, encode_replies
from domain.sharding import BUCKET_COUNT, tenant_bucket_of
from projections import payment_view
from projections.code_version import code_of
from projections.embedder import HashEmbedder
from projections.feed import SqliteFeed
from projections.progress import Progress
from projections.projector import Step

PAYMENTS = Part(
    file="facts.sqlite",
    layout=payment_view.LAYOUT,
    code=code_of(payment_view.__name__),
    store_of=lambda tenant: tenant.payments,
)


def opened(data: Path) -> Tenants:
    log = str(data / "log.sqlite")
    shard = Shard(
        Journal(open_log(log)),
        KINDS,
        role=ROLE,
        buckets=range(BUCKET_COUNT),
        bucket=tenant_bucket_of,
        owner="test",
        clock=now,
        new_id=new_id,
    )
    return Tenants(
        data,
        is_here=lambda _: True,
        embedder=HashEmbedder(),
        decide=lambda batch: encode_replies(shard.handle(decode_submissions(batch))),
        feed=SqliteFeed(log),
    )


@pytest.fixture
def progress(tmp_path: Path) -> Iterator[Progress]:
    store = Progress(tmp_path / "projectors" / "payments.sqlite")
    yield store
    store.close()


def reach(tenants: Tenants, progress: Progress, name: str, position: int) -> None:
    """Bring a tenant and the projector to a position."""
    with tenants.pinned(name) as tenant, tenant.payments.store.writing(position):
        pass
    tenants.reach(progress, Step(applied=1, parked=0, position=position, changed={name: frozenset()}), PAYMENTS)


def test_a_projector_goes_on_from_its_checkpoint_though_a_quiet_tenant_stands_lower(
    tmp_path: Path, progress: Progress
) -> None:
    tenants = opened(tmp_path)
    reach(tenants, progress, "acme", 5)
    reach(tenants, progress, "globex", 90)

    assert opened(tmp_path).resume_position(progress, PAYMENTS) == 90


def test_a_tenant_that_lies_behind_what_it_had_reached_is_caught_up(tmp_path: Path, progress: Progress) -> None:
    tenants = opened(tmp_path)
    reach(tenants, progress, "acme", 70)
    reach(tenants, progress, "globex", 90)
    with tenants.pinned("acme") as tenant, tenant.payments.store.reading() as connection:
        connection.execute("UPDATE checkpoint SET position=40")

    assert opened(tmp_path).resume_position(progress, PAYMENTS) == 40


def test_a_tenant_whose_files_are_gone_is_rebuilt_from_the_start(tmp_path: Path, progress: Progress) -> None:
    tenants = opened(tmp_path)
    reach(tenants, progress, "acme", 70)
    with tenants.pinned("acme") as tenant:
        tenant.close()
    shutil.rmtree(tmp_path / "tenants")

    assert opened(tmp_path).resume_position(progress, PAYMENTS) == 0


def test_a_start_in_the_middle_of_a_rebuild_goes_on_where_the_tenant_stands(tmp_path: Path, progress: Progress) -> None:
    tenants = opened(tmp_path)
    reach(tenants, progress, "acme", 70)
    reach(tenants, progress, "globex", 90)
    with tenants.pinned("acme") as tenant:
        tenant.close()
    shutil.rmtree(tmp_path / "tenants" / "acme")
    reach(opened(tmp_path), progress, "acme", 40)

    assert opened(tmp_path).resume_position(progress, PAYMENTS) == 40
