"""A generation is built beside the live one, checked, promoted by one event, and gone on with after any crash."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.builder import GENERATION_KEY
from actors.changes import AwaitChanges, Changes
from actors.index import DOCUMENTS, KINDS, PROJECTIONS, ROLE, Index
from actors.journal import Journal
from actors.payment_shard import KINDS as PAYMENT_KINDS
from actors.recorder import LogRecorder, open_log
from actors.shard import Shard
from actors.tenants import Tenants, generation_directory
from domain.codec import Submission
from domain.document import PutDocument, WithdrawDocument
from domain.errors import Rejection
from domain.ids import stream_id
from domain.message import Accepted
from domain.payment_saga import RecordFact
from domain.settings import IndexSettings
from domain.sharding import BUCKET_COUNT, bucket_of, tenant_bucket_of
from projections import rebuild
from projections.embedder import EmbeddingCache, HashEmbedder, TextEmbedder, Vectors
from projections.feed import SqliteFeed
from projections.retrieval import AnyFound, Gather, Gathered
from tests.domain.examples import fact
from tests.worlds import Clock, ids

TENANT = "acme"
FIVE = "Refunds reach the card within five working days."
TEN = "Refunds reach the card within ten working days."
PARKING = "Visitors may park behind the building."


class Crash(Exception):  # noqa: N818 - a death, not an error
    """The process ends here."""


class Counting:
    """The hash embedder, which counts the texts that it turns into vectors."""

    def __init__(self, name: str = "hashed-words/1") -> None:
        self._embedder = HashEmbedder()
        self.name = name
        self.texts = 0

    def embed(self, texts: Any) -> Vectors:
        self.texts += len(texts)
        return self._embedder.embed(texts)


class Node:
    """An index shard in this process, whose projectors and builder are turned by hand, and a log to write to."""

    def __init__(self, data: Path, *, model: TextEmbedder | None = None, **options: Any) -> None:
        self.data = data
        log = str(data / "log.sqlite")
        self.recorder: LogRecorder = open_log(log)
        self.model = model or Counting()
        self.cache = EmbeddingCache(self.model, data / "embeddings.sqlite")
        clock = Clock()
        shard = Shard(
            Journal(self.recorder),
            KINDS,
            role=ROLE,
            buckets=range(BUCKET_COUNT),
            bucket=tenant_bucket_of,
            owner="test",
            clock=clock,
            new_id=ids("index"),
        )
        self._payments = Shard(
            Journal(self.recorder),
            PAYMENT_KINDS,
            role="payments",
            buckets=range(BUCKET_COUNT),
            bucket=bucket_of,
            owner="test",
            clock=clock,
            new_id=ids("payments"),
        )
        self.at_point: Callable[[str], None] = lambda point: None
        self.points: list[str] = []
        self.index = Index(
            shard=shard,
            tenants=lambda decide: Tenants(
                data,
                is_here=lambda _: True,
                embedder=self.cache,
                decide=decide,
                feed=SqliteFeed(log),
                settings=IndexSettings(**options),
            ),
            questions=self.model,
            feed_of=lambda: SqliteFeed(log),
            data=data,
            name="0of1",
            incarnation="test",
            clock_s=lambda: 0.0,
            at_point=self._at_point,
        )
        self.tenants = self.index._tenants

    def _at_point(self, point: str) -> None:
        self.points.append(point)
        self.at_point(point)

    def put(self, document_id: str, text: str, tenant: str = TENANT) -> None:
        self._accepted(
            self.index.shard,
            Submission(
                stream=stream_id("document", tenant, document_id),
                command=PutDocument(document_id=document_id, title=f"About {document_id}", text=text),
            ),
        )

    def withdraw(self, document_id: str, tenant: str = TENANT) -> None:
        stream = stream_id("document", tenant, document_id)
        self._accepted(self.index.shard, Submission(stream=stream, command=WithdrawDocument()))

    def pay(self, *numbers: int, tenant: str = TENANT) -> None:
        """Payment `pi_<number>` was captured, each in a fact of its own."""
        told = [
            fact(f"stripe:evt_{each}", f"charge:ch_{each}", "captured", each, payment_id=f"pi_{each}", amount_minor=900)
            for each in numbers
        ]
        self._accepted(
            self._payments,
            *(
                Submission(stream=stream_id("payment", tenant, each.payment_id), command=RecordFact(fact=each))
                for each in told
            ),
        )

    def _accepted(self, shard: Shard, *batch: Submission) -> None:
        assert all(isinstance(reply, Accepted) for reply in shard.handle(batch))

    def project(self) -> None:
        """Turn the projectors until they are at the end of the log."""
        for projection in PROJECTIONS:
            while self.index.turn(projection).is_behind:
                pass

    def build(self) -> None:
        """Turn the builder until it has nothing left to do."""
        while self.index.builder.step():
            pass

    def ask(self, question: str = FIVE, tenant: str = TENANT, payment: str = "pi_1") -> Gathered:
        queries = [Gather(tenant=tenant, question=question, object_ids=(payment,), top_k=3)]
        [found] = msgspec.msgpack.decode(self.index.query(msgspec.msgpack.encode(queries)), type=list[AnyFound])
        assert isinstance(found, Gathered)
        return found

    def told(self) -> list[tuple[str, dict[str, list[str]]]]:
        wanted = msgspec.msgpack.encode(AwaitChanges(after=0, timeout_s=0))
        changes = msgspec.msgpack.decode(self.index.changes(wanted), type=Changes)
        return [(each.projection, each.changed) for each in changes.changes]

    def stages(self, tenant: str = TENANT) -> dict[int, str]:
        generations = self.tenants.generations(tenant).generations
        return {number: each.stage for number, each in generations.items()}

    def directories(self, tenant: str = TENANT) -> list[str]:
        return sorted(path.name for path in self.tenants.directory(tenant).iterdir())

    def close(self) -> None:
        """As the end of its process: nothing is finished."""
        for place in self.tenants._places.values():
            if place.held is not None:
                place.held.tenant.close()
        self.index.builder.close()
        for each in self.index._projections.values():
            each.checkpoint.close()
        self.cache.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    opened = Node(tmp_path)
    yield opened
    opened.close()


def fill(node: Node) -> None:
    """Three documents, one of them withdrawn, one changed, and some payments, all visible."""
    node.put("refunds", TEN)
    node.put("parking", PARKING)
    node.put("gone", "This was never true of any refund.")
    node.put("refunds", FIVE)
    node.withdraw("gone")
    node.pay(*range(1, 30))
    node.project()


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


CRASH_POINTS = (
    "build_before_opening",
    "build_after_apply",
    "after_vectors",
    "build_before_caught_up",
    "build_before_checked",
    "before_append",
    "after_append",
    "before_activation",
    "after_activation",
    "build_before_deletion",
)


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


def test_every_crash_point_is_passed_by_a_build(node: Node) -> None:
    """A crash at a point that nothing passes would prove nothing."""
    fill(node)
    node.index.shard._at_point = node._at_point
    node.points.clear()
    for reason in ("first", "second"):
        node.index.builder.start(TENANT, reason)
        node.build()

    assert set(CRASH_POINTS) <= set(node.points) | {"after_vectors"}


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
