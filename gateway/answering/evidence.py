"""What an answer quotes, and how it cites: passages of documents, facts, quotations."""

import msgspec


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document, and how near it is to the question (cosine)."""

    document_id: str
    version: int
    title: str
    heading: str
    text: str
    score: float


class FactCited(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="fact"):
    fact_id: str
    position: int


class DocumentCited(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="document"):
    """`quote` stands in that version of the document, letter by letter."""

    document_id: str
    version: int
    quote: str


Citation = FactCited | DocumentCited
