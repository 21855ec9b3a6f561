"""Where the recorded bytes are."""

from pathlib import Path

GOLDEN = Path(__file__).parent


def golden_file(tag: str, schema: int, folder: Path = GOLDEN) -> Path:
    """The bytes of a tag's schema."""
    return folder / f"{tag}.{schema}.msgpack"


def history_file(name: str, number: int, folder: Path = GOLDEN) -> Path:
    """A history, and what it came to when it was recorded."""
    return folder / "streams" / f"{name}.{number}.msgpack"
