"""Published documents with questions of known answers: what retrieval is measured on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from domain.errors import TerminalError
from projections.chunking import PlacedChunk, chunks
from simulations.document_changes import title_of

T = TypeVar("T")

QUESTIONS = Path(__file__).parent / "fixtures" / "banking_questions.jsonl"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question, and the document and the part of it (`start` to `end`, in characters) that answer it."""

    text: str
    document_id: str
    start: int = 0
    end: int = 2**31

    def is_answered_by(self, passage: PlacedChunk) -> bool:
        """Whether the passage is of that document and overlaps that part."""
        return passage.document_id == self.document_id and passage.start < self.end and passage.end > self.start


class Corpus(msgspec.Struct, frozen=True, kw_only=True):
    """Passages and questions about them."""

    name: str
    passages: Sequence[PlacedChunk]
    questions: Sequence[Question]

    def half(self, number: int) -> "Corpus":
        """Every other document's questions: half 0 is for choosing, half 1 for testing what was chosen."""
        names = sorted({each.document_id for each in self.questions})
        mine = set(names[number::2])
        return msgspec.structs.replace(self, questions=[each for each in self.questions if each.document_id in mine])


class _Faq(msgspec.Struct, frozen=True):
    path: str
    question: str
    answer: str


class _Head(msgspec.Struct, frozen=True):
    path: str
    text: str


class _Banking(msgspec.Struct, frozen=True):
    id: str
    title: str
    content: str


class _Asked(msgspec.Struct, frozen=True):
    document_id: str
    question: str


def corpora(data: Path) -> list[Corpus]:
    """The corpora in a folder that has `btcpay_docs` and `tau3_banking_knowledge`; `TerminalError` without them."""
    return [btcpay_docs(data), btcpay_answers(data), banking(data)]


def btcpay_docs(data: Path) -> Corpus:
    """The whole documentation as it is published. A question of its FAQ stands as a heading above its answer."""
    texts = {each.path: each.text for each in _lines(data / "btcpay_docs" / "docs_head.jsonl", _Head)}
    questions = []
    for each in _lines(data / "btcpay_docs" / "faq_qa.jsonl", _Faq):
        start = texts[each.path].index(each.answer)
        questions.append(Question(text=each.question, document_id=each.path, start=start, end=start + len(each.answer)))
    passages = [part for path, text in texts.items() for part in chunks(path, 1, title_of(path, text), text)]
    return Corpus(name="btcpay_docs", passages=passages, questions=questions)


def btcpay_answers(data: Path) -> Corpus:
    """The answers of the FAQ without the questions above them, each a document: words have to be understood."""
    faq = _lines(data / "btcpay_docs" / "faq_qa.jsonl", _Faq)
    passages = [part for number, each in enumerate(faq) for part in chunks(f"{each.path}:{number}", 1, "", each.answer)]
    questions = [Question(text=each.question, document_id=f"{each.path}:{number}") for number, each in enumerate(faq)]
    return Corpus(name="btcpay_answers", passages=passages, questions=questions)


def banking(data: Path) -> Corpus:
    """A bank's articles, asked in a customer's own words (`QUESTIONS`, written for this). One article is meant each.

    Many articles say the same of sibling products, so another one may answer as well and counts as a miss.
    """
    articles = _lines(data / "tau3_banking_knowledge" / "documents.jsonl", _Banking)
    passages = [part for each in articles for part in chunks(each.id, 1, each.title, each.content)]
    asked = [Question(text=each.question, document_id=each.document_id) for each in _lines(QUESTIONS, _Asked)]
    return Corpus(name="banking", passages=passages, questions=asked)


def _lines(path: Path, shape: type[T]) -> list[T]:
    try:
        return [msgspec.json.decode(line, type=shape) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise TerminalError(f"{path} cannot be read ({error}); --data names the folder of the corpora") from error
