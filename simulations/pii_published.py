"""Labelled texts that others published: a file of presidio-research (MIT), with its types by our names."""

from pathlib import Path

import msgspec

from simulations.pii_chat import Label, Message

# What is ours to take out. Organisations, places, dates, titles and web sites are nobody's by themselves.
_TYPES = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "US_SSN": "SSN",
    "US_DRIVER_LICENSE": "LICENCE",
    "PERSON": "NAME",
    "ADDRESS": "ADDRESS",
}


class _Span(msgspec.Struct):
    entity_type: str
    start_position: int
    end_position: int


class _Row(msgspec.Struct):
    full_text: str
    spans: list[_Span]
    template_id: int


def published(path: Path) -> list[Message]:
    """The texts of a file such as `generated_large.json`. Raises `OSError` and `msgspec.DecodeError`."""
    return [
        Message(
            text=row.full_text,
            labels=tuple(
                Label(span.start_position, span.end_position, _TYPES[span.entity_type])
                for span in row.spans
                if span.entity_type in _TYPES
            ),
            template=row.template_id,
        )
        for row in msgspec.json.decode(path.read_bytes(), type=list[_Row])
    ]
