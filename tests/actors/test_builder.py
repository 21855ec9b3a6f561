"""A generation is built beside the live one, checked, promoted by one event, and gone on with after any crash."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.builder import GENERATION_KEY
from actors.index import DOCUMENTS
from actors.tenants import generation_directory
from domain.errors import Rejection
from projections import rebuild
from projections.retrieval import Gathered
from tests.actors.index_node import FIVE, TEN, TENANT, Counting, Crash, Node, fill


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    opened = Node(tmp_path)
    yield opened
    opened.close()


def quoted(found: Gathered) -> list[tuple[str, int]]:
    return [(each.document_id, each.version) for each in found.passages]


def test_a_generation_is_built_beside_the_live_one_and_takes_its_place(node: Node) -> None:
    fill(node)
    before = node.ask()

    node.index.builder.start(TENANT, "operator")
    assert node.ask().generation == 1
    node.build()

    after = node.ask()
    assert (before.generation, after.generation) == (1, 2)
    assert (after.payments, after.passages) == (before.payments, before.passages)
    assert quoted(after) == [("refunds", 2), ("parking", 1)]
    assert node.stages() == {1: "retired", 2: "active"}
    state = node.tenants.generations(TENANT).generations[2]
    assert state.counts == {
        "facts": 29,
        "payments": 29,
        "documents": 2,
        "withdrawn": 1,
        "passages": 2,
        "parked": 0,
        "beside": 0,
        "golden": 2,
    }
    assert len(state.checksum) == 64


def test_nothing_whose_text_did_not_change_is_embedded_again(tmp_path: Path) -> None:
    model = Counting()
    node = Node(tmp_path, model=model)
    fill(node)
    misses = node.cache.misses

    node.index.builder.start(TENANT, "operator")
    node.build()

    assert node.ask().generation == 2
    assert (misses, node.cache.misses) == (4, 4)
    node.close()


def test_live_updates_go_on_while_a_generation_is_built(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "BATCH_MAX", 4)
    fill(node)
    node.index.builder.start(TENANT, "operator")
    number = 100
    while node.index.builder.step():
        node.put("refunds", f"Refunds take {number} days.")
        node.pay(number)
        node.project()
        # What was just told is there at once, whichever generation answers.
        found = node.ask(f"Refunds take {number} days.", payment=f"pi_{number}")
        assert found.passages[0].text == f"Refunds take {number} days."
        assert len(found.payments) == 1
        number += 1

    assert node.ask().generation == 2
    assert number > 103


def test_what_comes_just_before_the_switch_is_in_the_new_generation(node: Node) -> None:
    """It is applied to the live one, announced, and never again: the new one has to have it from the log."""
    fill(node)

    def tell(point: str) -> None:
        if point == "build_before_pause":
            node.put("refunds", "Refunds take ninety days.")
            node.pay(80)
            node.project()

    node.index.builder.start(TENANT, "operator")
    node.at_point = tell
    node.build()

    found = node.ask("Refunds take ninety days.", payment="pi_80")
    assert (found.generation, len(found.payments), found.passages[0].text) == (2, 1, "Refunds take ninety days.")


def test_a_generation_never_knows_more_than_was_announced(node: Node) -> None:
    """The caches hear what the projectors change: what they had not applied yet must be theirs to apply."""
    fill(node)
    node.pay(50)

    node.index.builder.start(TENANT, "operator")
    node.build()

    assert node.ask(payment="pi_50").payments == []
    node.project()
    found = node.ask(payment="pi_50")
    assert (found.generation, len(found.payments)) == (2, 1)
    assert any("pi_50" in changed.get(TENANT, []) for _, changed in node.told())


def test_the_switch_is_announced_with_the_generation_that_is_retired(node: Node) -> None:
    fill(node)

    node.index.builder.start(TENANT, "operator")
    node.build()

    assert node.told()[-1] == ("generations", {TENANT: [f"{GENERATION_KEY}1"]})


def test_whoever_reads_keeps_the_generation_until_it_has_left(node: Node) -> None:
    fill(node)
    with node.tenants.pinned(TENANT) as reading:
        node.index.builder.start(TENANT, "first")
        node.build()
        assert reading.generation == 1
        assert reading.payments.payment("pi_1") is not None
        node.index.builder.start(TENANT, "second")
        node.build()
        # Nobody can roll back to the first one any more, but somebody reads it.
        assert node.stages() == {1: "removed", 2: "retired", 3: "active"}
        assert reading.payments.payment("pi_1") is not None
        assert node.directories() == ["g1", "g2", "g3"]

    node.build()
    assert node.directories() == ["g2", "g3"]


def test_rolling_back_takes_the_generation_before_with_all_that_came_since(node: Node) -> None:
    fill(node)
    node.index.builder.start(TENANT, "operator")
    node.build()
    node.put("refunds", TEN)
    node.pay(60)
    node.project()

    node.index.builder.roll_back(TENANT, "worse answers")
    node.build()

    found = node.ask(TEN, payment="pi_60")
    assert (found.generation, len(found.payments), found.passages[0].text) == (1, 1, TEN)
    assert node.stages() == {1: "active", 2: "retired"}
    assert node.directories() == ["g1", "g2"]


def test_without_a_generation_before_there_is_nothing_to_roll_back_to(node: Node) -> None:
    fill(node)

    with pytest.raises(Rejection, match="nothing_to_roll_back_to"):
        node.index.builder.roll_back(TENANT, "worse answers")


def test_one_build_at_a_time(node: Node) -> None:
    fill(node)
    node.index.builder.start(TENANT, "operator")

    with pytest.raises(Rejection, match="build_under_way"):
        node.index.builder.start(TENANT, "operator")


def test_one_tenants_build_leaves_the_others_alone(node: Node) -> None:
    fill(node)
    node.put("refunds", TEN, "globex")
    node.pay(1, tenant="globex")
    node.project()

    node.index.builder.start(TENANT, "operator")
    node.build()

    assert node.ask(tenant="globex").generation == 1
    assert [each.text for each in node.ask(tenant="globex").passages] == [TEN]
    with node.tenants.pinned(TENANT) as acme:
        assert acme.payments.count() == 29
        assert acme.knowledge.document_count() == 2


def test_a_generation_that_fails_its_checks_is_abandoned_and_the_live_one_stays(node: Node) -> None:
    fill(node)
    node.index.builder.start(TENANT, "operator")
    while node.stages()[2] == "building":
        assert node.index.builder.step()
    site = node.index.builder._site
    assert site is not None
    with site.tenant.payments.store.reading() as connection:
        connection.execute("DELETE FROM payments WHERE payment_id='pi_7'")

    node.build()

    assert node.stages() == {1: "active", 2: "abandoned"}
    assert "payments: 1 of 29 are missing: pi_7" in node.tenants.generations(TENANT).generations[2].abandoned_for
    assert node.ask().generation == 1
    assert node.directories() == ["g1"]
    node.index.builder.start(TENANT, "again")
    node.build()
    assert node.ask().generation == 3


def test_another_model_has_every_tenant_built_again_and_nothing_is_quoted_until_then(tmp_path: Path) -> None:
    node = Node(tmp_path)
    fill(node)
    node.close()
    node = Node(tmp_path, model=Counting("other-words/1"))
    node.project()

    # The vectors of one model say nothing about a question that another one read; facts are as true as ever.
    found = node.ask()
    assert (found.generation, found.passages, len(found.payments)) == (1, [], 1)
    node.build()

    assert quoted(node.ask()) == [("refunds", 2), ("parking", 1)]
    generation = node.tenants.generations(TENANT).generations[2]
    assert (generation.model, generation.reason) == (
        "other-words/1",
        "model hashed-words/1 became other-words/1",
    )
    with pytest.raises(Rejection, match="model_gone"):
        node.index.builder.roll_back(TENANT, "worse answers")
    node.close()


def test_a_model_that_is_taken_back_and_wanted_again_before_it_was_built_is_built(tmp_path: Path) -> None:
    node = Node(tmp_path)
    fill(node)
    node.close()
    for model, stage in (("other-words/1", "building"), ("hashed-words/1", "abandoned")):
        node = Node(tmp_path, model=Counting(model))
        node.project()
        node.index.builder.step()
        assert node.stages()[2] == stage
        node.close()
    node = Node(tmp_path, model=Counting("other-words/1"))
    node.project()

    node.build()

    assert (node.ask().generation, quoted(node.ask())) == (3, [("refunds", 2), ("parking", 1)])
    node.close()


def test_another_layout_is_built_beside_and_rolling_back_from_it_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path)
    fill(node)
    node.close()
    for module in ("actors.builder", "actors.tenants"):
        monkeypatch.setattr(f"{module}.LAYOUT", "next")
    node = Node(tmp_path)
    node.project()

    node.build()
    assert (node.ask().generation, node.tenants.generations(TENANT).generations[2].layout) == (2, "next")

    node.index.builder.roll_back(TENANT, "worse answers")
    node.build()
    assert node.ask().generation == 1
    node.close()


def test_a_build_is_given_up_for_a_rollback(node: Node) -> None:
    fill(node)
    node.index.builder.start(TENANT, "first")
    node.build()
    node.index.builder.start(TENANT, "second")
    node.index.builder.step()

    node.index.builder.roll_back(TENANT, "worse answers")
    node.build()

    assert node.ask().generation == 1
    assert node.stages() == {1: "active", 2: "retired", 3: "abandoned"}
    assert node.directories() == ["g1", "g2"]


def test_what_a_paused_turn_had_applied_is_in_the_new_generation(node: Node) -> None:
    """A turn that failed after its application: the live files are ahead of what is announced."""
    fill(node)
    node.pay(70)

    def fail(point: str) -> None:
        if point == "after_apply":
            raise Crash

    node.at_point = fail
    with pytest.raises(Crash):
        node.index.turn("payments")
    node.at_point = lambda point: None
    node.index.builder.start(TENANT, "operator")
    node.build()

    assert len(node.ask(payment="pi_70").payments) == 1
    node.project()
    assert any("pi_70" in changed.get(TENANT, []) for _, changed in node.told())


def test_a_tenant_that_has_grown_gets_an_index(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(node)
    monkeypatch.setattr("actors.builder.EXACT_PASSAGES_MAX", 5)
    assert not node.index.builder.inspect(TENANT)
    for number in range(10):
        node.put(f"more-{number}", f"More about matter {number}.")
    node.project()

    assert node.index.builder.inspect(TENANT)
    assert not node.index.builder.inspect(TENANT)
    assert node.stages()[2] == "building"
    assert node.tenants.generations(TENANT).generations[2].reason == "grown to 12 passages"


@pytest.mark.long
def test_no_more_tenants_stay_open_than_the_settings_say(tmp_path: Path) -> None:
    node = Node(tmp_path, tenants_open_max=3)
    names = [f"tenant-{number}" for number in range(8)]
    for number, name in enumerate(names):
        node.put("refunds", f"{name} refunds within {number} days.", name)
        node.pay(number, tenant=name)
    node.project()
    assert node.tenants.open_count() <= 3

    for number, name in enumerate(names):
        found = node.ask("refunds", tenant=name, payment=f"pi_{number}")
        assert [each.text for each in found.passages] == [f"{name} refunds within {number} days."]
        assert len(found.payments) == 1
        assert node.tenants.open_count() <= 3
    node.close()


def test_documents_reach_a_tenant_that_is_closed(tmp_path: Path) -> None:
    node = Node(tmp_path, tenants_open_max=1)
    for name in ("acme", "globex"):
        node.put("refunds", FIVE, name)
    node.project()
    node.put("refunds", TEN, "acme")
    node.index.turn(DOCUMENTS)

    assert quoted(node.ask(TEN, tenant="acme"))[0] == ("refunds", 2)
    assert node.tenants.open_names() == ["acme"]
    assert generation_directory(node.tenants.directory("globex"), 1).exists()
    node.close()
