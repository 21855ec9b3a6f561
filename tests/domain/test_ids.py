"""Ids from outside, and the names of streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import is_object_id, is_tenant, split_stream_id, stream_id


@pytest.mark.parametrize("tenant", ["acme", "a", "0", "a-b-c", "9lives", "a" * 63])
def test_a_tenant_is_a_lower_case_label(tenant: str) -> None:
    assert is_tenant(tenant)


@pytest.mark.parametrize(
    "tenant", ["", "Acme", "-acme", "a_b", "a.b", "a/b", "..", "a b", "a\n", "acmé", "a" * 64, "*", ">"]
)
def test_anything_else_names_no_tenant(tenant: str) -> None:
    assert not is_tenant(tenant)


@pytest.mark.parametrize("text", ["pi_3Abc", "8JS123-4.5", "user@example.com", "a" * 200, "x:y", "...", "a=+~"])
def test_an_object_id_is_printable_and_safe_in_a_path(text: str) -> None:
    assert is_object_id(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\\b", "a b", "a\x00", "a\n", "é", "a*", "a>", "a" * 201])
def test_separators_and_control_characters_are_in_no_object_id(text: str) -> None:
    assert not is_object_id(text)


def test_a_stream_is_named_by_category_tenant_and_key() -> None:
    assert stream_id("payment", "acme", "pi_1") == "payment:acme/pi_1"
    assert split_stream_id("payment:acme/pi_1") == ("payment", "acme", "pi_1")


TENANTS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
OBJECT_IDS = st.from_regex(r"[A-Za-z0-9_.:@=+~-]{1,200}", fullmatch=True)


@given(TENANTS, OBJECT_IDS)
def test_a_stream_name_splits_into_what_it_was_made_of(tenant: str, key: str) -> None:
    assert split_stream_id(stream_id("document", tenant, key)) == ("document", tenant, key)


@given(TENANTS, OBJECT_IDS, TENANTS, OBJECT_IDS)
def test_streams_of_two_tenants_never_share_a_name(tenant: str, key: str, other: str, other_key: str) -> None:
    same = stream_id("payment", tenant, key) == stream_id("payment", other, other_key)

    assert same == ((tenant, key) == (other, other_key))
