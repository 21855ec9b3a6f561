"""Who says it: the speech of each language."""

from datetime import UTC, tzinfo

from gateway.answering.english import English
from gateway.answering.language import Language
from gateway.answering.speech import Speech
from gateway.answering.vietnamese import Vietnamese


def speech_in(language: Language, zone: tzinfo = UTC) -> Speech:
    """What can be said in a language, with the days of a zone."""
    match language:
        case "en":
            return English(zone)
        case "vi":
            return Vietnamese(zone)
