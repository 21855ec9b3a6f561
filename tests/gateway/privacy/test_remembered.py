"""Whom webhooks told us of is found in texts, and stands in no file."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from domain.tenant_settings import PrivacySettings, TenantSettings
from gateway.privacy.cleanse import Cleanser
from gateway.privacy.remembered import FILE, Person, people_in

STRIPE = {
    "object": "charge",
    "description": "Jade Ring",
    "billing_details": {
        "name": "Trần Zyx Quốc Bảo",
        "phone": "+84912345678",
        "email": "bao@example.com",
        "address": {"line1": "12 Lê Lợi"},
    },
    "line_items": [{"name": "Blue Velvet Chair", "price": {"nickname": "Big Sofa"}}],
}
PAYPAL = {"payer": {"name": {"given_name": "Wilhelmina", "surname": "Quux"}, "email_address": "w@example.com"}}
SHIPPING = {"shipping": {"name": {"full_name": "Wilhelmina Quux"}}}


def cleanser(data: Path) -> Cleanser:
    settings = TenantSettings(privacy=PrivacySettings(names="known"))
    return Cleanser(data, {"acme": settings, "globex": settings})


def body(told: Any) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode()


def test_people_are_read_from_what_providers_say_of_people_alone() -> None:
    assert people_in(body(STRIPE)) == [Person("NAME", "Trần Zyx Quốc Bảo"), Person("PHONE", "+84912345678")]
    assert people_in(body(PAYPAL)) == [Person("NAME", "Quux Wilhelmina")]
    assert people_in(body(SHIPPING)) == [Person("NAME", "Wilhelmina Quux")]
    assert people_in(b"no name in here {") == []


@pytest.mark.parametrize(
    "mention",
    [
        "Trần Zyx Quốc Bảo",
        "tran zyx quoc bao",
        "Bảo Trần",
        "Quốc Bảo",
        "T. Z. Q. Bảo",
        "tranzyxquocbao",
        "Bảo Trần Zyx Quốc",
    ],
)
def test_a_name_from_a_webhook_is_found_in_what_is_written_later(mention: str, tmp_path: Path) -> None:
    clean = cleanser(tmp_path)
    before = clean.text("acme", f"thấy {mention} đâu")
    clean.learn("acme", body(STRIPE))
    clean.keep()

    # Another process asks.
    asked = cleanser(tmp_path)
    after = asked.text("acme", f"thấy {mention} đâu")

    assert before == f"thấy {mention} đâu" != after
    assert after == asked.text("acme", "thấy Trần Zyx Quốc Bảo đâu")
    assert asked.text("globex", f"thấy {mention} đâu") == before
    clean.close()
    asked.close()


def test_a_phone_from_a_webhook_has_one_token_however_it_is_written(tmp_path: Path) -> None:
    clean = cleanser(tmp_path)
    clean.learn("acme", body(STRIPE))

    said = {clean.text("acme", text) for text in ("0912 345 678", "84912345678", "+84 91 2345678")}

    assert len(said) == 1
    clean.close()


def test_no_file_tells_a_name(tmp_path: Path) -> None:
    clean = cleanser(tmp_path)
    clean.learn("acme", body(STRIPE))
    clean.close()

    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()).lower()

    assert (tmp_path / "tenants" / "acme" / FILE).is_file()
    assert [each for each in ("trần", "tran", "zyx", "bảo", "912345678") if each.encode() in kept] == []


@pytest.mark.parametrize("text", ["quốc bảo hộ", "the blue velvet chair is late", "order 912", "Jade Ring"])
def test_other_words_stay(text: str, tmp_path: Path) -> None:
    clean = cleanser(tmp_path)
    clean.learn("acme", body(STRIPE))

    assert clean.text("acme", text) == text
    clean.close()


def test_a_message_is_not_refused_because_nobody_can_be_remembered(tmp_path: Path) -> None:
    clean = cleanser(tmp_path)
    place = tmp_path / "tenants" / "acme" / FILE
    place.parent.mkdir(parents=True)
    place.write_bytes(b"no database" * 100)

    with capture_logs() as logged:
        clean.learn("acme", body(STRIPE))
        text = clean.text("acme", "gọi 0912345678 nhé")

    assert [line["event"] for line in logged] == ["subjects_not_kept", "subjects_not_read"]
    assert "0912345678" not in text
    clean.close()


def test_several_processes_may_learn_at_once(tmp_path: Path) -> None:
    several = [cleanser(tmp_path) for _ in range(3)]
    for number, each in enumerate(several):
        each.learn("acme", body({"customer": {"name": f"Wilhelmina Quux{number}"}}))
    for each in several:
        each.keep()

    with sqlite3.connect(tmp_path / "tenants" / "acme" / FILE) as connection:
        [count] = connection.execute("SELECT count(*) FROM subject").fetchone()
    connection.close()

    assert count >= 3
    for each in several:
        each.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "phone", "payer", "email", "given_name", "shipping"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read(told: Any) -> None:
    assert all(isinstance(person.written, str) for person in people_in(body(told)))
