"""What was found, in another order: what repeats a better passage stands last."""

from pathlib import Path
from typing import get_args

from domain.document import DocumentPublished
from domain.ids import stream_id
from domain.settings import Rerank
from projections.embedder import HashEmbedder
from projections.exact_vectors import ExactIndex
from projections.knowledge import KnowledgeStore, Passage
from projections.payment_view import PaymentStore
from projections.reranking import RepeatsLast, reranker_of
from projections.retrieval import Gather, TenantReader
from tests.worlds import TENANT, Entries

FIVE = "Refunds reach the card within five working days, unless the bank says otherwise."


def passage(document_id: str, text: str) -> Passage:
    return Passage(document_id=document_id, version=1, title="", heading="", text=text, score=0.9)


def test_what_repeats_a_better_passage_stands_behind_the_others() -> None:
    found = [
        passage("a", FIVE),
        passage("b", f"{FIVE} Really."),
        passage("c", "A refund that fails comes back to the balance."),
        passage("d", FIVE.upper()),
        passage("e", "Visitors park behind the building."),
    ]

    ranked = RepeatsLast().rerank("When is my refund there?", found)

    assert [each.document_id for each in ranked] == ["a", "c", "e", "b", "d"]
    assert RepeatsLast().rerank("", []) == []


def test_every_setting_names_one_and_none_is_none() -> None:
    assert {name: type(reranker_of(name)) for name in get_args(Rerank)} == {
        "none": type(None),
        "repeats_last": RepeatsLast,
    }


def test_a_question_is_given_more_that_differs_with_it_and_the_same_as_ever_without(tmp_path: Path) -> None:
    knowledge = KnowledgeStore(tmp_path, vectors=ExactIndex(tmp_path / "knowledge.sqlite"), embedder=HashEmbedder())
    payments = PaymentStore(tmp_path)
    entries = Entries()
    texts = {"a": FIVE, "b": FIVE, "c": FIVE, "d": "Refunds reach a wallet at once."}
    log = [
        entries(
            stream_id("document", TENANT, name), DocumentPublished(document_id=name, version=1, title=name, text=text)
        )
        for name, text in texts.items()
    ]
    knowledge.apply(log, len(log))
    knowledge.settle()
    reader = TenantReader(payments, knowledge, 1)
    asked = [Gather(tenant=TENANT, question="How long do refunds take to reach the card?", top_k=2)]

    [plain], [reranked] = (reader.passages(asked, HashEmbedder(), each) for each in (None, RepeatsLast()))

    assert {each.text for each in plain} == {FIVE}
    assert [each.text for each in reranked] == [FIVE, texts["d"]]
    assert reranked[0] == plain[0]
    knowledge.close()
    payments.close()
