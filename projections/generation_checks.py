"""What a generation must pass before it is promoted: it is the fold of the log, all of it is found, and no ghost is.

An approximate index loses live records (chroma-core/chroma#7758), so every passage is looked for by its own vector.
What is not found is compared one by one from then on; only with many of these is the generation given up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import TypeVar

import msgspec
import numpy as np

from domain.document import DocumentPublished, DocumentWithdrawn
from domain.payment_saga import FactRecorded, PaymentLinked
from projections import knowledge, payment_view
from projections.chunking import document_of
from projections.embedder import DIMENSIONS, TextEmbedder, Vectors
from projections.feed import Feed, LogEntry
from projections.knowledge import KnowledgeStore
from projections.payment_view import PaymentStore
from projections.rebuild import Bounds
from projections.store import Store
from projections.vectors import VectorIndex

T = TypeVar("T")

GOLDEN_MAX = 100
# The mean reciprocal rank may be lower by this much: two graphs of the same passages are not the same, and which of
# many with the same words comes first depends on how they came together in segments. 0.016 was seen for the same ones.
GOLDEN_LOSS_MAX = 0.05
# The live documents are written to meanwhile. What ranks lower beside others is compared again beside the same ones.
GOLDEN_ATTEMPTS_MAX = 8
WITHDRAWN_LOOKED_FOR_MAX = 1_000
# So many passages of a generation may be compared one by one beside its graph; a graph that loses more is broken.
BESIDE_MAX = 1_000
_TOP = 10
_QUERIES = 64
# Each of these is embedded, on all cores: whoever asks meanwhile waits for no more than that.
_ASKED = 4
_PAGE = 500
_PAYMENTS = 20
# Passages of the same text have the same vector: which of them comes first says nothing.
_SAME = 1e-4
_NAMED_MAX = 5

_CURRENT = """
SELECT chunk_id, chunks.version, digest FROM documents JOIN chunks USING (document_id, version)
WHERE NOT is_withdrawn ORDER BY chunk_id
"""
# The headings of passages are the questions of the golden set; the digest spreads the choice over all of them.
_GOLDEN = """
SELECT DISTINCT heading, document_id FROM documents JOIN chunks USING (document_id, version)
WHERE NOT is_withdrawn AND heading <> '' ORDER BY digest LIMIT ?
"""
_WITHDRAWN = """
SELECT document_id, vector FROM documents JOIN chunks USING (document_id) JOIN compared USING (digest)
WHERE is_withdrawn ORDER BY document_id LIMIT ?
"""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted, a checksum over every (id, version), and what is wrong in words; nothing if it may go live."""

    counts: Mapping[str, int]
    checksum: str
    faults: tuple[str, ...] = ()


class Fold(msgspec.Struct, kw_only=True):
    """What the log says that a tenant has: documents with their versions, withdrawn ones, facts by position, links."""

    documents: dict[str, int] = {}
    withdrawn: dict[str, int] = {}
    facts: dict[int, str] = {}
    links: dict[str, str] = {}


def fold(
    feed: Feed, tenant: str, bounds: Bounds, *, parked: Mapping[str, int], on_page: Callable[[], None] = lambda: None
) -> Fold:
    """Fold the tenant's events up to the bounds; `parked` says from which position on a stream is put aside."""
    found = Fold(documents={}, withdrawn={}, facts={}, links={})
    for topics, until in ((payment_view.TOPICS, bounds.payments), (knowledge.TOPICS, bounds.documents)):
        for entry in _entries(feed, topics, until, on_page):
            if entry.tenant == tenant and entry.position < parked.get(entry.stream, entry.position + 1):
                _take_in(found, entry)
    return found


def _entries(feed: Feed, topics: Sequence[str], until: int, on_page: Callable[[], None]) -> Iterator[LogEntry]:
    position = 0
    while position < until:
        page = feed.read(position, limit=_PAGE, topics=topics)
        yield from (entry for entry in page.entries if entry.position <= until)
        position = page.position
        on_page()


def _take_in(found: Fold, entry: LogEntry) -> None:
    match entry.envelope().event:
        case FactRecorded(fact=fact):
            found.facts[entry.position] = fact.fact_id
        case PaymentLinked(payment_id=payment_id):
            if payment_id != entry.key:
                found.links.setdefault(entry.key, payment_id)
        case DocumentPublished(document_id=document_id, version=version):
            found.documents[document_id] = version
            found.withdrawn.pop(document_id, None)
        case DocumentWithdrawn(document_id=document_id, version=version):
            found.withdrawn[document_id] = version
            found.documents.pop(document_id, None)


class Checks:
    """The checks of one generation, whose stores nobody writes to meanwhile.

    Args:
        payments: its payments.
        documents: its documents.
        on_page: called now and then; what it raises ends the checks.
    """

    def __init__(
        self, payments: PaymentStore, documents: KnowledgeStore, *, on_page: Callable[[], None] = lambda: None
    ) -> None:
        self._payments = payments
        self._documents = documents
        self._on_page = on_page

    def report(
        self,
        feed: Feed,
        tenant: str,
        bounds: Bounds,
        *,
        live: KnowledgeStore | None,
        embedder: TextEmbedder,
        catch_up: Callable[[], None] = lambda: None,
    ) -> Report:
        """Compare with the fold of the log up to the bounds, and with how well the live documents answer.

        Args:
            feed: the log.
            tenant: whose generation it is.
            bounds: how far it has applied the log.
            live: the documents of the active generation; `None` if their vectors are another model's.
            embedder: for the golden questions.
            catch_up: brings the generation to where the live one is.
        """
        parked = _parked(self._payments.store) | _parked(self._documents.store)
        wanted = fold(feed, tenant, bounds, parked=parked, on_page=self._on_page)
        checksum = sha256()
        faults = [*self._payment_faults(wanted, checksum.update), *self._document_faults(wanted, checksum.update)]
        passages = passages_of(self._documents)
        lost = self._unreachable(passages)
        if lost:
            faults.append(f"{len(lost)} passages are not found by their own vectors: {_some(lost)}")
        golden, golden_faults = self._golden(live, embedder, catch_up)
        return Report(
            counts={
                "facts": len(wanted.facts),
                "payments": self._payments.count(),
                "documents": len(wanted.documents),
                "withdrawn": len(wanted.withdrawn),
                "passages": len(passages),
                "parked": len(parked),
                "beside": index.beside_count() if isinstance(index := self._documents.index, VectorIndex) else 0,
                "golden": golden,
            },
            checksum=checksum.hexdigest(),
            faults=(*faults, *golden_faults),
        )

    def _payment_faults(self, wanted: Fold, checksum: Callable[[bytes], None]) -> Iterator[str]:
        """Every fact and link is there, and every payment is the fold of its facts."""
        with self._payments.store.reading() as connection:
            facts = {row[0] for row in connection.execute("SELECT position FROM facts")}
            links = dict(connection.execute("SELECT reference, payment_id FROM links").fetchall())
            payment_ids = [row[0] for row in connection.execute("SELECT payment_id FROM payments ORDER BY payment_id")]
            references = {row[0] for row in connection.execute("SELECT DISTINCT reference FROM facts")}
        yield from _differences("facts", map(str, wanted.facts), map(str, facts))
        yield from _differences("links", map(str, wanted.links.items()), map(str, links.items()))
        roots: set[str] = set()
        for part in _batches(sorted(references), _PAGE):
            roots |= {root.payment_id for root in self._payments.roots(part).values()}
            self._on_page()
        yield from _differences("payments", roots, payment_ids)
        wrong = []
        for number, payment_id in enumerate(payment_ids):
            kept = self._payments.payment(payment_id)
            if kept is None or kept != self._payments.facts_of(payment_id).view():
                wrong.append(payment_id)
            checksum(f"payment {payment_id} {kept.position if kept else 0}\n".encode())
            if number % _PAYMENTS == 0:
                self._on_page()
        if wrong:
            yield f"{len(wrong)} payments are not the fold of their facts: {_some(wrong)}"

    def _document_faults(self, wanted: Fold, checksum: Callable[[bytes], None]) -> Iterator[str]:
        """The documents are the log's, both indexes have their passages and no other, nothing withdrawn is found."""
        with self._documents.store.reading() as connection:
            rows = connection.execute("SELECT document_id, version, is_withdrawn FROM documents ORDER BY 1").fetchall()
        current = {document_id: version for document_id, version, is_withdrawn in rows if not is_withdrawn}
        yield from _differences("documents", map(str, wanted.documents.items()), map(str, current.items()))
        passages = passages_of(self._documents)
        indexed = self._documents.index.versions()
        kept = [(chunk_id, version) for chunk_id, version, _ in passages]
        yield from _differences("vectors", map(str, kept), map(str, indexed.items()))
        yield from _differences("words", map(str, kept), map(str, self._documents.words.versions().items()))
        without = current.keys() - {document_of(chunk_id) for chunk_id, _ in kept}
        if without:
            yield f"{len(without)} documents have no passage: {_some(sorted(without))}"
        for document_id, version in sorted(current.items()):
            checksum(f"document {document_id} {version}\n".encode())
        for chunk_id, version in sorted(indexed.items()):
            checksum(f"passage {chunk_id} {version}\n".encode())
        ghosts = self._withdrawn_found(wanted)
        if ghosts:
            yield f"{len(ghosts)} withdrawn documents are found: {_some(ghosts)}"

    def _withdrawn_found(self, wanted: Fold) -> list[str]:
        """Withdrawn documents that the index finds by the vectors that their passages had."""
        with self._documents.store.reading() as connection:
            rows = connection.execute(_WITHDRAWN, (WITHDRAWN_LOOKED_FOR_MAX,)).fetchall()
        found: set[str] = set()
        for part in _batches(rows, _QUERIES):
            for hits in self._documents.index.query(_matrix(row[1] for row in part), _TOP):
                found |= {hit.document_id for hit in hits if hit.document_id in wanted.withdrawn}
            self._on_page()
        return sorted(found)

    def _unreachable(self, passages: Sequence[tuple[str, int, str]]) -> list[str]:
        """Passages that are not found by their own vectors, and that are not so few as to be put beside the graph."""
        lost = unreachable(self._documents, passages, on_page=self._on_page)
        index = self._documents.index
        if not lost or len(lost) > BESIDE_MAX or not isinstance(index, VectorIndex):
            return lost
        digest_of = {chunk_id: digest for chunk_id, _, digest in passages}
        vectors = _vectors_of(self._documents, [digest_of[each] for each in lost])
        index.put_beside({each: vectors[digest_of[each]] for each in lost})
        return unreachable(self._documents, [each for each in passages if each[0] in set(lost)], on_page=self._on_page)

    def _golden(
        self, live: KnowledgeStore | None, embedder: TextEmbedder, catch_up: Callable[[], None]
    ) -> tuple[int, list[str]]:
        """How many golden questions both generations were asked, and whether this one answers worse.

        A question is a heading that both have, the right answer a passage of its document.
        """
        if live is None:
            return 0, []
        for attempt in range(GOLDEN_ATTEMPTS_MAX):
            if attempt:
                catch_up()
            asked = sorted(_headings(self._documents) & _headings(live))
            if not asked:
                return 0, []
            new, old = (_reciprocal_rank(each, asked, embedder, self._on_page) for each in (self._documents, live))
            if new >= old - GOLDEN_LOSS_MAX:
                return len(asked), []
            if passages_of(self._documents) == passages_of(live):
                break
        return len(asked), [f"golden questions: mean reciprocal rank {new:.3f} after {old:.3f}"]


def passages_of(documents: KnowledgeStore) -> list[tuple[str, int, str]]:
    """(chunk id, version, digest) of every current passage, in the order of the ids."""
    with documents.store.reading() as connection:
        return connection.execute(_CURRENT).fetchall()


def unreachable(
    documents: KnowledgeStore,
    passages: Sequence[tuple[str, int, str]],
    *,
    on_page: Callable[[], None] = lambda: None,
) -> list[str]:
    """Those of the passages that the index does not find by their own vectors."""
    lost: list[str] = []
    for part in _batches(passages, _QUERIES):
        vectors = _vectors_of(documents, [digest for _, _, digest in part])
        found = documents.index.query(np.stack([vectors[digest] for _, _, digest in part]), _TOP)
        for (chunk_id, _, _), hits in zip(part, found, strict=True):
            is_crowded = len(hits) == _TOP and all(hit.score >= 1 - _SAME for hit in hits)
            if not is_crowded and chunk_id not in {hit.chunk_id for hit in hits}:
                lost.append(chunk_id)
        on_page()
    return lost


def _headings(documents: KnowledgeStore) -> set[tuple[str, str]]:
    with documents.store.reading() as connection:
        return set(connection.execute(_GOLDEN, (GOLDEN_MAX,)).fetchall())


def _reciprocal_rank(
    documents: KnowledgeStore, asked: Sequence[tuple[str, str]], embedder: TextEmbedder, on_page: Callable[[], None]
) -> float:
    total = 0.0
    for part in _batches(asked, _ASKED):
        found = documents.search([heading for heading, _ in part], embedder, top_k=_TOP)
        for (_, document_id), passages in zip(part, found, strict=True):
            ranks = [rank for rank, each in enumerate(passages, start=1) if each.document_id == document_id]
            total += 1 / ranks[0] if ranks else 0.0
        on_page()
    return total / len(asked)


def _vectors_of(documents: KnowledgeStore, digests: Sequence[str]) -> dict[str, Vectors]:
    found: dict[str, Vectors] = {}
    for part in _batches(sorted(set(digests)), _PAGE):
        marks = ",".join("?" * len(part))
        with documents.store.reading() as connection:
            rows = connection.execute(
                f"SELECT digest, vector FROM compared WHERE digest IN ({marks})",  # noqa: S608 - placeholders only
                part,
            ).fetchall()
        found |= {digest: np.frombuffer(vector, dtype="<f4") for digest, vector in rows}
    return found


def _matrix(vectors: Iterable[bytes]) -> Vectors:
    return np.frombuffer(b"".join(vectors), dtype="<f4").reshape(-1, DIMENSIONS)


def _parked(store: Store) -> dict[str, int]:
    """From which position on each stream is put aside."""
    first: dict[str, int] = {}
    for position, stream, _ in store.parked():
        first[stream] = min(position, first.get(stream, position))
    return first


def _differences(what: str, wanted: Iterable[str], found: Iterable[str]) -> Iterator[str]:
    missing, extra = (wanted_set := set(wanted)) - (found_set := set(found)), found_set - wanted_set
    if missing:
        yield f"{what}: {len(missing)} of {len(wanted_set)} are missing: {_some(sorted(missing))}"
    if extra:
        yield f"{what}: {len(extra)} should not be there: {_some(sorted(extra))}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED_MAX]) + (", ..." if len(names) > _NAMED_MAX else "")


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
