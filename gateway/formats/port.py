"""What every format is turned into."""

import msgspec

from domain.document import TextFormat


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A document's text, and its own title, empty if it has none."""

    title: str
    text: str
    text_format: TextFormat = "markdown"
