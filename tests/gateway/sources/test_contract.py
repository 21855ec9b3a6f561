"""What every source keeps to, whatever it is sent: the conformance test. `docs/sources/README.md` says how to join."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.codec import decode_submissions, encode_submissions
from domain.ids import SOURCE_RE, is_object_id
from domain.message import Trace
from domain.tenant_settings import PrivacySettings, TenantSettings
from gateway.privacy.cleanse import Cleanser
from gateway.privacy.scrub import scrub
from gateway.sources import MADE, SOURCES
from gateway.sources.port import DETAIL_CHARS_MAX, Reading, SourceModule, Trust, Unreadable, submissions
from tests.canaries import TEXT, traces_in
from tests.gateway.sources.conformance import (
    NOW,
    REF,
    Conformance,
    Message,
    Signed,
    conformances,
    disordered,
    everything,
    places,
    planted,
    spoilt,
    views,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 2**31, 2**63, 2**64, 10**300])
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEADER_PARTS = st.sampled_from(["t=", "v1=", "v0=", ",", "=", " ", "1772366400", "-1", "a" * 64, "é", "\udcff", "\x00"])

CONFORMANCES = {each.kind or each.source.name: each for each in conformances()}
every_source = pytest.mark.parametrize("conformance", CONFORMANCES.values(), ids=CONFORMANCES)
every_signed = pytest.mark.parametrize(
    "conformance",
    [each for each in CONFORMANCES.values() if each.signed is not None],
    ids=[name for name, each in CONFORMANCES.items() if each.signed is not None],
)


def read(source: SourceModule, message: Message) -> Reading | Unreadable:
    return source.read(message.raw, headers=message.headers, ref=REF)


def check(conformance: Conformance, message: Message) -> Reading | Unreadable:
    """A reading that can be recorded, or a reason that can be shown."""
    source = conformance.source
    result = read(source, message)
    refused = result if isinstance(result, Unreadable) else result.refused
    if refused is not None:
        assert refused.code.startswith(("body.", "event."))
        assert 0 < len(refused.detail) <= DETAIL_CHARS_MAX
        msgspec.json.encode(refused)
    if isinstance(result, Unreadable):
        return result
    assert result.facts or result.links or result.commands or result.sighting is not None
    assert result.sighting is None or not (result.facts or result.links or result.commands)
    assert len({fact.fact_id for fact in result.facts}) == len(result.facts)
    for fact in result.facts:
        assert (fact.provider, fact.raw, fact.occurred_at.tzinfo) == (conformance.provider or source.name, REF, UTC)
        assert all(map(is_object_id, (fact.payment_id, fact.object_id)))
    batch = submissions("acme", result, source=source.name, trace=Trace(correlation_id="c-1"))
    assert decode_submissions(encode_submissions(batch)) == batch
    return result


def kept(source: SourceModule, message: Message, cleanse: Cleanser) -> str:
    """What outlives the message, as text to search in: cleaned commands, and why it was refused."""
    result = read(source, message)
    refused = result if isinstance(result, Unreadable) else result.refused
    said = "" if refused is None else scrub(refused.detail)
    if isinstance(result, Reading):
        cleanse.learn("acme", message.raw)
        batch = submissions("acme", result, source=source.name, trace=Trace())
        said += everything([cleanse(each) for each in batch])
    return said


def spoil(data: st.DataObject, message: Message) -> Message:
    """The message with anything at one of its places."""
    value = json.loads(message.raw)
    path = data.draw(st.sampled_from(list(places(value))))
    return Message(raw=json.dumps(spoilt(value, path, data.draw(JSON))).encode(), headers=message.headers)


def verdict(
    conformance: Conformance,
    raw: bytes | None = None,
    headers: dict[str, str] | None = None,
    trust: Trust | None = None,
) -> str | None:
    """What the source says of its signed example, or of that with another body, other headers or another trust."""
    signed = signed_of(conformance)
    return conformance.source.verify(
        signed.message.headers if headers is None else headers,
        signed.message.raw if raw is None else raw,
        trust=signed.trust if trust is None else trust,
        now=signed.now,
    )


def signed_of(conformance: Conformance) -> Signed:
    assert conformance.signed is not None
    return conformance.signed


def signed_bytes(signed: Signed) -> Iterator[int]:
    """Where in the body the bytes are that the provider signs."""
    raw = signed.message.raw
    if not signed.signed_parts:
        yield from range(len(raw))
    for part in signed.signed_parts:
        assert raw.count(part) == 1, f"{part!r} is not once in the signed example"
        yield from range(raw.index(part), raw.index(part) + len(part))


def test_every_source_has_examples() -> None:
    assert CONFORMANCES.keys() == SOURCES.keys() | MADE.keys()


@every_source
def test_a_source_is_known_by_its_name(conformance: Conformance) -> None:
    source = conformance.source
    assert SOURCE_RE.fullmatch(source.name)
    assert conformance.kind in MADE or SOURCES[source.name] is source
    assert 200 <= source.acknowledgement.status < 300
    assert source.acknowledgement.within_s > 0


@every_signed
def test_what_the_provider_signed_is_genuine(conformance: Conformance) -> None:
    assert verdict(conformance) is None


@pytest.mark.long
@every_signed
def test_one_bit_of_a_signed_byte_flipped_is_not_genuine(conformance: Conformance) -> None:
    raw = signed_of(conformance).message.raw
    for place in signed_bytes(signed_of(conformance)):
        for bit in (0, 5):
            forged = bytearray(raw)
            forged[place] ^= 1 << bit
            refused = verdict(conformance, raw=bytes(forged))
            assert refused is not None, (place, bit, raw[place - 10 : place + 10])
            assert refused.startswith("signature.")


@every_signed
def test_a_signed_message_without_one_of_its_headers_is_not_genuine(conformance: Conformance) -> None:
    headers = dict(signed_of(conformance).message.headers)
    for name, value in headers.items():
        for others in ({}, {name: ""}, {name: f"~{value[1:]}"}):
            refused = verdict(conformance, headers={**{key: headers[key] for key in headers if key != name}, **others})
            assert refused is not None, (name, others)
            assert refused.startswith("signature.")


@every_signed
@pytest.mark.parametrize("trust", [Trust(), Trust(secrets=("",)), Trust(secrets=("ab" * 32, "whsec_YWJj", "x"))])
def test_nothing_is_genuine_to_who_trusts_somebody_else(conformance: Conformance, trust: Trust) -> None:
    refused = verdict(conformance, trust=trust)
    assert refused is not None
    assert refused.startswith("signature.")


@pytest.mark.long
@every_source
@settings(max_examples=30)
@given(
    headers=st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=3),
    parts=st.lists(HEADER_PARTS, max_size=12),
    raw=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()),
    secrets=st.lists(st.text(max_size=8), max_size=3),
)
def test_no_headers_and_no_body_make_a_stranger_genuine(
    conformance: Conformance, headers: dict[str, str], parts: list[str], raw: bytes, secrets: list[str]
) -> None:
    for name in ("stripe-signature", *(conformance.signed.message.headers if conformance.signed else ())):
        headers[name] = "".join(parts)
    refused = conformance.source.verify(headers, raw, trust=Trust(secrets=secrets), now=NOW)
    assert refused is not None
    assert refused.startswith("signature.")


@pytest.mark.long
@every_signed
@settings(max_examples=30)
@given(data=st.data())
def test_a_signed_message_spoilt_in_one_place_is_judged(conformance: Conformance, data: st.DataObject) -> None:
    message = signed_of(conformance).message
    forged = spoil(data, message)
    refused = verdict(conformance, raw=forged.raw)
    assert refused is None or refused.startswith("signature.")
    if not signed_of(conformance).signed_parts:
        assert refused is not None or forged.raw == message.raw


@every_source
def test_a_source_that_nobody_signs_trusts_nobody(conformance: Conformance) -> None:
    if conformance.signed is None:
        for message in conformance.messages:
            refused = conformance.source.verify(message.headers, message.raw, trust=Trust(secrets=("x",)), now=NOW)
            assert refused is not None
            assert refused.startswith("signature.")


@pytest.mark.long
@every_source
@settings(max_examples=30)
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(conformance: Conformance, raw: bytes) -> None:
    check(conformance, Message(raw=raw, headers=conformance.messages[0].headers))


@pytest.mark.long
@every_source
@settings(max_examples=30)
@given(value=JSON)
def test_any_json_is_read_or_refused(conformance: Conformance, value: Any) -> None:
    check(conformance, Message(raw=json.dumps(value).encode(), headers=conformance.messages[0].headers))


@pytest.mark.long
@every_source
@settings(max_examples=80)
@given(data=st.data())
def test_a_message_spoilt_in_one_place_is_read_or_refused(conformance: Conformance, data: st.DataObject) -> None:
    check(conformance, spoil(data, data.draw(st.sampled_from(conformance.messages))))


@every_source
def test_a_message_cut_anywhere_is_refused(conformance: Conformance) -> None:
    for message in conformance.messages:
        assert isinstance(check(conformance, message), Reading)
        for length in range(1, len(message.raw), 7):
            cut = Message(raw=message.raw[:length], headers=message.headers)
            assert isinstance(check(conformance, cut), Unreadable)


@every_source
def test_reading_again_says_the_same(conformance: Conformance) -> None:
    for message in (*conformance.messages, *conformance.story):
        assert read(conformance.source, message) == read(conformance.source, message)


@every_source
def test_the_story_is_read_whole(conformance: Conformance) -> None:
    for message in conformance.story:
        result = check(conformance, message)
        assert isinstance(result, Reading), result
        assert result.refused is None


@every_source
def test_the_payments_are_the_same_whatever_the_order(conformance: Conformance) -> None:
    in_order = views(conformance.source, conformance.story)
    for seed in range(20):
        assert views(conformance.source, disordered(conformance.story, seed)) == in_order, f"seed {seed}"


@every_source
def test_a_story_about_money_ends_in_certainty(conformance: Conformance) -> None:
    found = views(conformance.source, conformance.story)
    assert {payment_id: view.certainty for payment_id, view in found.items()} == dict.fromkeys(found, "certain")


@every_source
def test_nothing_that_is_read_says_who_it_is_about(conformance: Conformance) -> None:
    messages = (*conformance.messages, *conformance.story)
    for each in conformance.personal:
        assert any(each.encode() in message.raw for message in messages), f"no example has {each!r}"
    for message in messages:
        result = read(conformance.source, message)
        assert isinstance(result, Reading), result
        said = everything(result) + everything(
            submissions("acme", result, source=conformance.source.name, trace=Trace())
        )
        assert [each for each in conformance.personal if each in said] == []


@pytest.mark.long
@every_source
def test_text_planted_anywhere_is_in_nothing_that_is_kept(conformance: Conformance, tmp_path: Path) -> None:
    tenants = {"acme": TenantSettings(privacy=PrivacySettings(documents=True))}
    with closing(Cleanser(tmp_path, tenants)) as cleanse:
        for message in conformance.messages:
            for each in planted(message, TEXT):
                assert traces_in(kept(conformance.source, each, cleanse).encode()) == [], each.raw
