"""A question that was asked before is not embedded again, and the answer is the same as if it were."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from projections import questions
from projections.embedder import HashEmbedder, Vectors
from projections.questions import QuestionCache, meaning


class Counting(HashEmbedder):
    """An embedder that keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().embed(texts)


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "b", "a"], ["b", "c", "a"]])
def test_the_vectors_are_those_of_the_embedder_in_order(texts: list[str]) -> None:
    cache = QuestionCache(Counting())
    cache.embed(["a", "x"])

    np.testing.assert_array_equal(cache.embed(texts), HashEmbedder().embed(texts))


def test_every_text_is_embedded_once() -> None:
    embedder = Counting()
    cache = QuestionCache(embedder)

    cache.embed(["a", "b", "a"])
    cache.embed(["b", "c"])

    assert embedder.asked == ["a", "b", "c"]
    assert cache.name == embedder.name


def test_the_questions_that_were_not_asked_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "QUESTIONS_CACHED_MAX", 2)
    embedder = Counting()
    cache = QuestionCache(embedder)
    for text in ("a", "b", "a", "c"):
        cache.embed([text])
    embedder.asked.clear()

    cache.embed(["a", "c"])
    assert embedder.asked == []
    cache.embed(["b"])
    assert embedder.asked == ["b"]


def test_more_questions_at_once_than_are_kept_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "QUESTIONS_CACHED_MAX", 2)
    texts = [f"question {number}" for number in range(10)]

    np.testing.assert_array_equal(QuestionCache(Counting()).embed(texts), HashEmbedder().embed(texts))


def test_several_threads_may_ask() -> None:
    cache = QuestionCache(HashEmbedder())
    texts = [f"question {number % 7}" for number in range(50)]
    found: list[Vectors] = []
    threads = [threading.Thread(target=lambda: found.append(cache.embed(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = HashEmbedder().embed(texts)
    assert len(found) == 4
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("Where is my refund for pi_3MtwBwLkdIwHu7ix28a3tqPa?", "Where is my refund for ?"),
        ("Hoàn tiền của 5e9c7a31-8f00-4b55-8a34-6f4f5d7f9c21 đâu?", "Hoàn tiền của đâu?"),
        ("Order 202611230017 was charged twice", "Order was charged twice"),
        ("What does error E4711 mean?", "What does error E4711 mean?"),
        ("Is chargeback-protection included after 14 days?", "Is chargeback-protection included after 14 days?"),
        ("pi_3MtwBwLkdIwHu7ix28a3tqPa ?", "pi_3MtwBwLkdIwHu7ix28a3tqPa ?"),
        ("", ""),
    ],
)
def test_a_long_id_is_no_part_of_what_a_question_means(question: str, meant: str) -> None:
    assert meaning(question) == meant


def test_the_same_question_about_many_payments_is_embedded_once() -> None:
    embedder = Counting()

    QuestionCache(embedder).embed(
        [f"Where is my refund for pi_3MtwBwLkdIwHu7ix28a3tq{number:02}?" for number in range(9)]
    )

    assert len(embedder.asked) == 1
