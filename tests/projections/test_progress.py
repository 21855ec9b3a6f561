"""After any loss and any number of starts, a projector goes on where nothing is left out."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projections.progress import Progress


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress.sqlite")


def test_what_is_another_projectors_holds_nobody_up(progress: Progress) -> None:
    progress.reach(9, [("acme", 5), ("globex", 9)])

    assert progress.resume_position(lambda tenant: 0 if tenant == "acme" else 9) == 0
    assert progress.resume_position(lambda tenant: None if tenant == "acme" else 9) == 9


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("page"), st.integers(1, 4)),
        st.tuples(st.just("page_then_crash"), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("lose"), st.integers(0, 2)),
    ),
    max_size=25,
)


@example(log=[0, 0, 0, 0], steps=[("page", 4), ("lose", 0), ("page", 1)])
@given(log=st.lists(st.integers(0, 2), min_size=1, max_size=12), steps=STEPS)
def test_every_event_reaches_its_tenant_whatever_is_lost_and_whenever_it_starts_again(
    tmp_path_factory: pytest.TempPathFactory, log: list[int], steps: list[tuple[str, int]]
) -> None:
    """The log's events are by position whose they are. Stores are lost when nobody has them open: before a start."""
    progress = Progress(tmp_path_factory.mktemp("progress") / "progress.sqlite")
    stores: list[set[int]] = [set(), set(), set()]

    def stands(tenant: str) -> int:
        return max(stores[int(tenant)], default=0)

    def turn(at: int, limit: int, *, is_remembered: bool) -> int:
        end = min(at + limit, len(log))
        changed = {log[position - 1] for position in range(at + 1, end + 1)}
        for tenant in changed:
            done = stands(str(tenant))
            stores[tenant] |= {each for each in range(at + 1, end + 1) if log[each - 1] == tenant and each > done}
        if is_remembered:
            progress.reach(end, [(str(tenant), stands(str(tenant))) for tenant in changed])
        return end

    at = 0
    for step, number in [*steps, ("restart", 0)]:
        if step == "lose":
            stores[number].clear()
        if step.startswith("page"):
            at = turn(at, number, is_remembered=step == "page")
        if step != "page":
            at = progress.resume_position(stands)
    turn(at, len(log), is_remembered=True)
    progress.close()

    assert stores == [{place + 1 for place, owner in enumerate(log) if owner == tenant} for tenant in range(3)]
