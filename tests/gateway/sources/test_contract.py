"""What every source keeps to, whatever it is sent."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.codec import decode_submissions, encode_submissions
from domain.ids import SOURCE_RE, is_object_id
from domain.message import Trace
from gateway.sources import SOURCES
from gateway.sources.port import DETAIL_CHARS_MAX, Reading, SourceModule, Trust, Unreadable, submissions
from tests.gateway.sources.examples import charge, dispute, event, intent, payout, refund

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

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
# Messages that can be read, to be spoilt in one place.
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "stripe": [
        json.loads(each)
        for each in (
            event("payment_intent.succeeded", intent(charges={"data": [charge(refunds={"data": [refund()]})]})),
            event("payment_intent.payment_failed", intent("requires_payment_method", last_payment_error={"code": "x"})),
            event("charge.refunded", charge(amount_refunded=1900, refunds={"data": [refund()]})),
            event("refund.created", refund(charge={"id": "ch_1"})),
            event("charge.dispute.closed", dispute("lost")),
            event("payout.paid", payout()),
            event("customer.updated", {"id": "cus_1"}),
        )
    ],
}

sources = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


def check(source: SourceModule, raw: bytes) -> Reading | Unreadable:
    """A reading that can be recorded, or a reason that can be shown."""
    result = source.read(raw, headers={}, ref="INGEST:7")
    if isinstance(result, Unreadable):
        assert result.code.startswith(("body.", "event."))
        assert 0 < len(result.detail) <= DETAIL_CHARS_MAX
        msgspec.json.encode(result)
        return result
    assert result.facts or result.sighting is not None
    assert result.sighting is None or not result.facts
    assert len({fact.fact_id for fact in result.facts}) == len(result.facts)
    for fact in result.facts:
        assert (fact.provider, fact.raw, fact.occurred_at.tzinfo) == (source.name, "INGEST:7", UTC)
        assert all(map(is_object_id, (fact.payment_id, fact.object_id)))
    batch = submissions("acme", result, source=source.name, trace=Trace(correlation_id="c-1"))
    assert decode_submissions(encode_submissions(batch)) == batch
    return result


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the whole of it first."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def spoilt(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """A copy with something else at one place."""
    if not path:
        return junk
    result = copy.deepcopy(value)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return result


def test_a_source_is_known_by_its_name() -> None:
    assert all(name == source.name and SOURCE_RE.fullmatch(name) for name, source in SOURCES.items())


@sources
@settings(max_examples=150)
@given(
    headers=st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=3),
    parts=st.lists(HEADER_PARTS, max_size=12),
    raw=st.binary(max_size=40),
    secrets=st.lists(st.text(max_size=8), max_size=3),
)
def test_no_headers_and_no_bytes_make_a_stranger_genuine(
    source: SourceModule, headers: dict[str, str], parts: list[str], raw: bytes, secrets: list[str]
) -> None:
    for name in ("stripe-signature", "webhook-signature"):
        headers[name] = "".join(parts)
    refused = source.verify(headers, raw, trust=Trust(secrets=secrets), now=NOW)
    assert refused is not None
    assert refused.startswith("signature.")


@sources
@settings(max_examples=150)
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(source: SourceModule, raw: bytes) -> None:
    check(source, raw)


@sources
@settings(max_examples=150)
@given(value=JSON)
def test_any_json_is_read_or_refused(source: SourceModule, value: Any) -> None:
    check(source, json.dumps(value).encode())


@sources
@settings(max_examples=400)
@given(data=st.data())
def test_a_message_spoilt_in_one_place_is_read_or_refused(source: SourceModule, data: st.DataObject) -> None:
    example = data.draw(st.sampled_from(EXAMPLES[source.name]))
    path = data.draw(st.sampled_from(list(places(example))))
    check(source, json.dumps(spoilt(example, path, data.draw(JSON))).encode())


@sources
def test_a_message_cut_anywhere_is_refused(source: SourceModule) -> None:
    for example in EXAMPLES[source.name]:
        raw = json.dumps(example).encode()
        assert isinstance(check(source, raw), Reading)
        assert all(isinstance(check(source, raw[:length]), Unreadable) for length in range(0, len(raw), 7))


@sources
def test_reading_again_says_the_same(source: SourceModule) -> None:
    for example in EXAMPLES[source.name]:
        raw = json.dumps(example).encode()
        assert source.read(raw, headers={}, ref="INGEST:7") == source.read(raw, headers={}, ref="INGEST:7")
