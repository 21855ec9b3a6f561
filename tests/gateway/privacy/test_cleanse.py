"""What people wrote is scrubbed on its way to the log, and nothing else is touched."""

from pathlib import Path

from domain.codec import Submission
from domain.conversation import Message, RecordMessage
from domain.ids import stream_id
from domain.message import Trace
from domain.tenant_settings import TenantSettings
from gateway.privacy.cleanse import Cleanser, cleansed
from tests.spec import NOON
from tests.worlds import record

PHONE = "0912 345 678"


def wrote(text: str, tenant: str = "acme") -> Submission:
    message = Message(message_id="m_1", author="customer", kind="text", occurred_at=NOON, text=text, raw="INGEST:7")
    return Submission(
        stream=stream_id("conversation", tenant, "zalo:1"),
        command=RecordMessage(message=message),
        command_id="zalo:m_1",
        trace=Trace(correlation_id="c-1"),
    )


def text_of(submission: Submission) -> str:
    assert isinstance(submission.command, RecordMessage)
    return submission.command.message.text


def cleanser(data: Path) -> Cleanser:
    return Cleanser(data, {"acme": TenantSettings(), "globex": TenantSettings()})


def test_a_message_is_kept_without_personal_data_and_is_the_same_otherwise(tmp_path: Path) -> None:
    kept = cleanser(tmp_path)(wrote(f"Call me: {PHONE}. Where is pi_1?"))

    assert PHONE not in text_of(kept)
    assert "Where is pi_1?" in text_of(kept)
    assert kept == wrote(text_of(kept))


def test_tokens_are_stable_within_a_tenant_and_differ_between_tenants(tmp_path: Path) -> None:
    said = [text_of(cleanser(tmp_path)(wrote(f"My phone: {PHONE}", tenant))) for tenant in ("acme", "acme", "globex")]

    assert said[0] == said[1] != said[2]


def test_what_has_no_free_text_is_given_back_as_it_is(tmp_path: Path) -> None:
    clean = cleanser(tmp_path)
    fact, silent = record(), wrote("")

    assert clean(fact) is fact
    assert clean(silent) is silent


def test_without_a_key_patterns_are_taken_out_all_the_same() -> None:
    assert PHONE not in text_of(cleansed(wrote(f"My phone: {PHONE}")))
