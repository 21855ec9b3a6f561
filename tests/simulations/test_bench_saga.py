"""Both contenders of `recount bench saga` run the same saga to its end."""

from pathlib import Path

import pytest

from simulations.bench_saga import run_ours
from simulations.bench_saga_dbos import run_dbos, synchronous

pytestmark = pytest.mark.long


async def test_ours_reads_twice_cancels_once_and_has_every_step_in_the_log(tmp_path: Path) -> None:
    ran = await run_ours(tmp_path, 50)

    assert (ran.sagas, ran.calls, ran.events) == (50, 150, 550)


@pytest.mark.filterwarnings("default")
def test_the_peer_ends_every_saga_and_syncs_what_it_commits(tmp_path: Path) -> None:
    ran = run_dbos(tmp_path / "dbos", way="threads", journal="delete", at_once=2, sagas=4)

    assert ran.per_second > 0
    assert synchronous(tmp_path / "dbos" / "dbos.sqlite") == "full"
