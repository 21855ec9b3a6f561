"""What the gateway is told of a tenant's payments, within whose scope, and what the choice depended on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from domain.document import DocumentPublished
from domain.ids import stream_id
from projections.embedder import HashEmbedder
from projections.knowledge import KnowledgeStore
from projections.payment_view import PaymentStore
from projections.retrieval import (
    CUSTOMER_PAYMENTS_MAX,
    AnyFound,
    AnyQuery,
    DocumentFound,
    Gather,
    GetDocument,
    GetPayment,
    GetTimeline,
    ListPayments,
    NotYet,
    PaymentFound,
    PaymentsFound,
    TenantReader,
    TimelineFound,
)
from projections.vectors import VectorIndex, collection_name
from tests.domain.examples import at, fact
from tests.worlds import TENANT, Entries

POSITION = 7


@pytest.fixture
def payments(tmp_path: Path) -> Iterator[PaymentStore]:
    store = PaymentStore(tmp_path)
    entries = Entries()
    told: list[dict[str, Any]] = [
        {"payment_id": "pi_1", "customer_id": "cus_1"},
        {"payment_id": "pi_2", "customer_id": "cus_1"},
        {"payment_id": "pi_3", "customer_id": "cus_2"},
    ]
    log = [
        entries.fact(fact(f"stripe:evt_{number}", "intent", "captured", number, amount_minor=100, **fields))
        for number, fields in enumerate(told, start=1)
    ]
    log.append(entries.fact(fact("stripe:evt_4", "refund:re_1", "succeeded", 4, payment_id="ch_1", amount_minor=60)))
    log.append(entries.link("ch_1", "pi_1"))
    store.apply(log, log[-1].position)
    yield store
    store.close()


@pytest.fixture
def reader(payments: PaymentStore) -> TenantReader:
    # Of payments alone: opening a knowledge store takes longer than the unit tier has.
    return TenantReader(payments, cast("KnowledgeStore", None), 1)


def gather(**fields: Any) -> Gather:
    return Gather(tenant=TENANT, question="Where is my refund?", **fields)


def evidence(reader: TenantReader, **fields: Any) -> list[str]:
    """The payments that a question about these is answered from."""
    return [each.view.payment_id for each in reader.evidence(gather(**fields))[0]]


def test_a_payment_is_found_by_any_of_its_ids(reader: TenantReader) -> None:
    replies = [
        reader.look_up(GetPayment(tenant=TENANT, payment_id=each), POSITION) for each in ("pi_1", "ch_1", "re_1")
    ]

    assert replies == [replies[0]] * 3
    assert isinstance(replies[0], PaymentFound)
    assert replies[0].position == POSITION
    assert replies[0].payment is not None
    assert (replies[0].payment.payment_id, replies[0].payment.refunded_minor) == ("pi_1", 60)
    unknown = reader.look_up(GetPayment(tenant=TENANT, payment_id="pi_9"), POSITION)
    assert unknown == PaymentFound(position=POSITION, payment=None)


def test_a_payment_is_found_as_it_was(reader: TenantReader) -> None:
    def refunded(**fields: Any) -> int:
        reply = reader.look_up(GetPayment(tenant=TENANT, payment_id="pi_1", **fields), POSITION)
        assert isinstance(reply, PaymentFound)
        assert reply.payment is not None
        return reply.payment.refunded_minor

    assert (refunded(as_of=at(3)), refunded(as_of=at(4))) == (0, 60)
    # The refund was known at 4, and that it belongs to this payment at 5.
    assert (refunded(known_at=4), refunded(known_at=5)) == (0, 60)


def test_a_timeline_is_in_log_order(reader: TenantReader) -> None:
    reply = reader.look_up(GetTimeline(tenant=TENANT, payment_id="re_1"), POSITION)

    assert isinstance(reply, TimelineFound)
    assert [(each.fact_id, each.position) for each in reply.entries] == [("stripe:evt_1", 1), ("stripe:evt_4", 4)]


def test_a_list_has_a_cursor_to_go_on_from(reader: TenantReader) -> None:
    first = reader.look_up(ListPayments(tenant=TENANT, limit=2), POSITION)
    assert isinstance(first, PaymentsFound)
    second = reader.look_up(ListPayments(tenant=TENANT, limit=2, cursor=first.cursor), POSITION)
    assert isinstance(second, PaymentsFound)

    assert [each.payment_id for each in (*first.payments, *second.payments)] == ["pi_1", "pi_3", "pi_2"]
    assert second.cursor == ""


def test_a_question_that_names_ids_is_about_their_payments_each_once(reader: TenantReader) -> None:
    found, looked_up = reader.evidence(gather(object_ids=("re_1", "pi_1", "pi_3", "pi_9")))

    assert [each.view.payment_id for each in found] == ["pi_1", "pi_3"]
    assert set(looked_up) == {"re_1", "pi_1", "pi_3", "pi_9"}
    assert found[0].of("refund:re_1").fact_id == "stripe:evt_4"


def test_a_question_that_names_nothing_is_about_its_customers_payments_newest_first(reader: TenantReader) -> None:
    found, looked_up = reader.evidence(gather(scope_customer_id="cus_1"))

    assert [each.view.payment_id for each in found] == ["pi_1", "pi_2"]
    assert set(looked_up) == {"customer:cus_1", "pi_1", "pi_2"}


def test_a_question_of_nobody_about_nothing_finds_nothing(reader: TenantReader) -> None:
    assert reader.evidence(gather()) == ([], [])


def test_another_customers_payment_is_as_if_it_were_not_there(reader: TenantReader) -> None:
    assert evidence(reader, object_ids=("pi_3", "pi_2"), scope_customer_id="cus_1") == ["pi_2"]
    assert evidence(reader, object_ids=("re_1",), scope_customer_id="cus_2") == []


def test_whose_payment_it_was_is_judged_as_it_was_known_then(payments: PaymentStore, reader: TenantReader) -> None:
    sold = fact("stripe:evt_9", "intent", "captured", 9, payment_id="pi_3", customer_id="cus_1")
    entries = Entries()
    log = [entries.fact(sold) for _ in range(9)]
    payments.apply(log[8:], 9)

    assert evidence(reader, object_ids=("pi_3",), scope_customer_id="cus_1") == ["pi_3"]
    assert evidence(reader, object_ids=("pi_3",), scope_customer_id="cus_1", known_at=8) == []
    assert evidence(reader, object_ids=("pi_3",), scope_customer_id="cus_2", as_of=at(8)) == ["pi_3"]


def test_evidence_is_as_it_was_known(reader: TenantReader) -> None:
    def of_refund(**fields: Any) -> tuple[list[str], list[str]]:
        found, looked_up = reader.evidence(gather(object_ids=("re_1",), **fields))
        return [each.view.payment_id for each in found], looked_up

    assert of_refund() == (["pi_1"], ["re_1", "pi_1"])
    assert of_refund(known_at=4) == (["ch_1"], ["re_1", "ch_1"])
    assert of_refund(known_at=3) == ([], ["re_1"])


def test_no_more_than_so_many_payments_of_a_customer_are_looked_at(
    payments: PaymentStore, reader: TenantReader
) -> None:
    entries = Entries()
    log = [
        entries.fact(
            fact(f"stripe:many_{number}", "intent", "captured", number, payment_id=f"p{number}", customer_id="c")
        )
        for number in range(CUSTOMER_PAYMENTS_MAX + 20)
    ]
    payments.apply(log[5:], log[-1].position)

    newest = [f"p{number}" for number in range(CUSTOMER_PAYMENTS_MAX + 19, 19, -1)]
    assert evidence(reader, scope_customer_id="c") == newest


def test_queries_and_replies_cross_the_border_as_they_are(reader: TenantReader) -> None:
    queries: list[AnyQuery] = [
        GetPayment(tenant=TENANT, payment_id="pi_1", as_of=at(0), known_at=3, min_position=2),
        GetTimeline(tenant=TENANT, payment_id="pi_1", known_at=3),
        ListPayments(tenant=TENANT, status="captured", cursor="1.pi_1", as_of=at(0), known_at=3),
        GetDocument(tenant=TENANT, document_id="refunds"),
        gather(object_ids=("pi_1",), top_k=3),
    ]
    replies: list[AnyFound] = [reader.look_up(each, POSITION) for each in queries[:3] if not isinstance(each, Gather)]
    replies += [NotYet(position=3), DocumentFound(position=3, document=None)]

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(queries), type=list[AnyQuery]) == queries
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(replies), type=list[AnyFound]) == replies


@pytest.mark.model
def test_a_document_is_found_in_its_newest_version(payments: PaymentStore, tmp_path: Path) -> None:
    knowledge = KnowledgeStore(
        tmp_path, vectors=VectorIndex(tmp_path / "vectors", collection_name(TENANT, 1)), embedder=HashEmbedder()
    )
    published = DocumentPublished(document_id="refunds", version=1, title="Refunds", text="Five days.")
    knowledge.apply([Entries()(stream_id("document", TENANT, "refunds"), published)], 1)

    reply = TenantReader(payments, knowledge, 1).look_up(GetDocument(tenant=TENANT, document_id="refunds"), POSITION)

    assert isinstance(reply, DocumentFound)
    assert reply.document is not None
    assert (reply.position, reply.document.text) == (POSITION, "Five days.")
    knowledge.close()


def test_the_customers_other_payments_are_gathered_beside_a_named_one(reader: TenantReader) -> None:
    assert evidence(reader, object_ids=("pi_1",)) == ["pi_1"]
    assert set(evidence(reader, object_ids=("pi_1",), is_beside=True)) == {"pi_1", "pi_2"}
    assert set(evidence(reader, object_ids=("pi_3",), is_beside=True, scope_customer_id="cus_1")) == set()
    _, looked_up = reader.evidence(gather(object_ids=("pi_1",), is_beside=True))
    assert "customer:cus_1" in looked_up


def test_a_reply_about_the_past_speaks_from_there(reader: TenantReader) -> None:
    queries: list[GetPayment | GetTimeline | ListPayments] = [
        GetPayment(tenant=TENANT, payment_id="pi_1", known_at=4, min_position=2),
        GetTimeline(tenant=TENANT, payment_id="pi_1", known_at=4, min_position=2),
        ListPayments(tenant=TENANT, known_at=4, min_position=2),
    ]

    assert [reader.look_up(each, POSITION).position for each in queries] == [4, 4, 4]
    assert [each.needs_position for each in queries] == [4, 4, 4]
    assert GetPayment(tenant=TENANT, payment_id="pi_1", known_at=4, min_position=9).needs_position == 9
    assert gather(known_at=4).needs_position == 4
    assert gather(known_at=4).speaks_from(POSITION) == 4
    assert gather().speaks_from(POSITION) == POSITION


def test_a_timeline_of_the_past_ends_there_and_says_when_a_link_came(reader: TenantReader) -> None:
    def entries(**past: Any) -> list[tuple[str, int]]:
        reply = reader.look_up(GetTimeline(tenant=TENANT, payment_id="pi_1", **past), POSITION)
        assert isinstance(reply, TimelineFound)
        return [(each.fact_id, each.joined_position) for each in reply.entries]

    assert entries() == [("stripe:evt_1", 1), ("stripe:evt_4", 5)]
    assert entries(known_at=4) == [("stripe:evt_1", 1)]
    assert entries(as_of=at(3)) == [("stripe:evt_1", 1)]
    assert entries(known_at=0) == []


def test_a_past_list_is_told_as_it_was(reader: TenantReader) -> None:
    def listed(**past: Any) -> list[str]:
        reply = reader.look_up(ListPayments(tenant=TENANT, **past), POSITION)
        assert isinstance(reply, PaymentsFound)
        return [each.payment_id for each in reply.payments]

    assert listed(known_at=4) == ["ch_1", "pi_3", "pi_2", "pi_1"]
    assert listed(known_at=5) == ["pi_1", "pi_3", "pi_2"]
    assert listed(known_at=2, customer_id="cus_1") == ["pi_2", "pi_1"]


def test_a_payment_that_was_a_customers_then_is_evidence_of_then(payments: PaymentStore, reader: TenantReader) -> None:
    sold = fact("stripe:evt_9", "intent", "captured", 9, payment_id="pi_2", customer_id="cus_2")
    entries = Entries()
    payments.apply([entries.fact(sold) for _ in range(9)][8:], 9)

    assert evidence(reader, scope_customer_id="cus_1") == ["pi_1"]
    assert evidence(reader, scope_customer_id="cus_1", known_at=8) == ["pi_1", "pi_2"]
    assert evidence(reader, scope_customer_id="cus_2", known_at=8) == ["pi_3"]
    assert evidence(reader, object_ids=("pi_1",), is_beside=True, known_at=8) == ["pi_1", "pi_2"]


def test_an_orphan_is_its_own_evidence_though_its_reference_is_known_elsewhere(
    payments: PaymentStore, reader: TenantReader
) -> None:
    """A refund under its charge, and the charge under its payment, before anything says that they belong together."""
    entries = Entries()
    told = [
        fact("stripe:evt_c", "charge:ch_7", "captured", 1, payment_id="pi_7"),
        fact("stripe:evt_r", "refund:re_7", "succeeded", 2, payment_id="ch_7"),
    ]
    log = [entries.fact(each) for each in [*told * 5, *told]]
    payments.apply(log[10:], 12)

    [found], _ = reader.evidence(gather(object_ids=("re_7",)))

    assert (found.view.payment_id, [each.id for each in found.view.refunds]) == ("ch_7", ["re_7"])


def test_a_customers_past_is_found_though_many_payments_came_after(
    payments: PaymentStore, reader: TenantReader
) -> None:
    entries = Entries()
    newer = [
        fact(
            f"stripe:evt_n{number}",
            "intent",
            "captured",
            1_000 + number,
            payment_id=f"pi_n{number}",
            customer_id="cus_1",
        )
        for number in range(CUSTOMER_PAYMENTS_MAX + 5)
    ]
    log = [entries.fact(each) for each in newer]
    payments.apply(log, log[-1].position)

    assert len(evidence(reader, scope_customer_id="cus_1")) == CUSTOMER_PAYMENTS_MAX
    assert set(evidence(reader, scope_customer_id="cus_1", as_of=at(500))) == {"pi_1", "pi_2"}
