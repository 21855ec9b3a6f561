"""A build that was killed at any point is gone on with, and ends as if nothing had been."""

from pathlib import Path

import pytest

from projections import rebuild
from tests.actors.index_node import TENANT, Crash, Node, fill

CRASH_POINTS = (
    "build_before_opening",
    "build_after_apply",
    "after_vectors",
    "build_before_caught_up",
    "build_before_checked",
    "before_append",
    "after_append",
    "build_before_pause",
    "before_activation",
    "after_activation",
    "build_before_deletion",
)


@pytest.mark.long
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_build_that_was_killed_anywhere_is_gone_on_with(
    point: str, nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "BATCH_MAX", 4)
    node = Node(tmp_path)
    fill(node)
    for reason in ("first", "second"):
        node.index.builder.start(TENANT, reason)
        if reason == "first":
            node.build()
    wanted = node.ask()
    dying = Dying(point, nth)
    node.at_point = dying
    node.index.shard._at_point = node._at_point
    died = 0
    while True:
        try:
            node.build()
            break
        except Crash:
            died += 1
            node.close()
            node = Node(tmp_path)
            node.project()
    found = node.ask()

    assert died == (1 if dying.has_struck else 0)
    assert found.generation == 3
    assert (found.payments, found.passages) == (wanted.payments, wanted.passages)
    assert node.stages() == {1: "removed", 2: "retired", 3: "active"}
    assert node.directories() == ["g2", "g3"]
    node.close()


@pytest.mark.long
def test_every_crash_point_is_passed_by_a_build(tmp_path: Path) -> None:
    """A crash at a point that nothing passes would prove nothing."""
    node = Node(tmp_path)
    fill(node)
    node.index.shard._at_point = node._at_point
    node.points.clear()
    for reason in ("first", "second"):
        node.index.builder.start(TENANT, reason)
        node.build()

    assert set(CRASH_POINTS) <= set(node.points)
    node.close()


class Dying:
    """Crashes when a point is passed for the nth time."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._left = nth

    @property
    def has_struck(self) -> bool:
        return self._left == 0

    def __call__(self, point: str) -> None:
        if point == self._point and self._left:
            self._left -= 1
            if not self._left:
                raise Crash(point)
