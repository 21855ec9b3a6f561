"""A mapping that contradicts itself is refused when the settings are read, and the key is named."""

import msgspec
import pytest

from domain.lifecycle import STATUSES, lifecycle_of
from domain.mapping_settings import FieldSettings, MappingSettings
from domain.settings import NodeSettings

FACT = 'kind = "refund"\nobject = "id"\npayment = "order"\nstatus = "state"\namount = "amount"\ncurrency = "currency"\n'


def read(toml: str) -> MappingSettings:
    return msgspec.toml.decode(toml, type=MappingSettings)


def test_a_string_is_a_path_and_a_table_says_more() -> None:
    (rule,) = read(f'[[facts]]\n{FACT}reason = {{ path = ["a.b", "c"], table = {{ x = "y" }} }}\n').facts
    assert rule.payment == "order"
    assert rule.reason == FieldSettings(path=("a.b", "c"), table={"x": "y"})


@pytest.mark.parametrize(
    ("toml", "wish"),
    [
        ("", "mapping: it needs facts or documents"),
        (f'provider = "No Name"\n[[facts]]\n{FACT}', "mapping.provider"),
        (f"[[facts]]\n{FACT}paymnt = 'x'\n", "paymnt"),
        (f"[[facts]]\n{FACT.replace('refund', 'transfer')}", "transfer"),
        (f"[[facts]]\n{FACT.replace('order', '')}", "facts: set payment and status"),
        (f"[[facts]]\n{FACT.replace('state', '')}", "facts: set payment and status"),
        (f"[[facts]]\n{FACT.replace('object', 'reason')}", "facts.object: a refund needs an id"),
        (f"[[facts]]\n{FACT.replace('currency', 'reason')}", "facts.currency"),
        (f"[[facts]]\n{FACT.replace('status = ', 'reason = ')}status = {{ constant = 'won' }}\n", "never 'won'"),
        (
            f"[[facts]]\n{FACT.replace('status = ', 'reason = ')}status = {{ path = 's', table = {{ a = 'b' }} }}\n",
            "'b'",
        ),
        (f"[[facts]]\n{FACT}customer = {{ table = {{ a = 'b' }} }}\n", "a path or a constant.*customer"),
        (f"[[facts]]\n{FACT}customer = {{ path = 'a', constant = 'b' }}\n", "a path or a constant"),
        (f"[[facts]]\n{FACT}captured = {{ path = '' }}\n", "an amount needs a path"),
        (f"[[facts]]\n{FACT}captured = {{ path = 'a', unit = 'cents' }}\n", "cents"),
        (f"[[facts]]\n{FACT}captured = {{ path = 'a', unit = 'major', decimals = 2 }}\n", "decimals: 0 to 12"),
        (f"[[facts]]\n{FACT}captured = {{ path = 'a', decimals = 13 }}\n", "decimals: 0 to 12"),
        (f"[[facts]]\n{FACT}captured = {{ path = 'a', base64 = true }}\n", "base64: set decimals too"),
        (f"[[facts]]\n{FACT}captured = {{ path = 'a', thousands = '.' }}\n", "point and thousands"),
        (f"[[facts]]\n{FACT}captured = {{ path = 'a', point = '' }}\n", "point and thousands"),
        (f"[[facts]]\n{FACT}occurred_at = {{ path = '' }}\n", "a time needs a path"),
        (f"[[facts]]\n{FACT}occurred_at = {{ path = 'a', format = 'iso' }}\n", "format: one of rfc3339"),
        ("[[documents]]\nid = 'slug'\n", "text"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_change(toml: str, wish: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=wish):
        read(toml)


def test_a_mapping_stands_under_its_source() -> None:
    toml = f"[tenants.acme.sources.pay]\nkind = 'cloudevents'\n[[tenants.acme.sources.pay.mapping.facts]]\n{FACT}"
    source = msgspec.toml.decode(toml, type=NodeSettings).tenants["acme"].sources["pay"]
    assert source.mapping is not None
    assert source.mapping.facts[0].kind == "refund"


def test_our_words_for_statuses_are_those_of_the_first_provider() -> None:
    assert STATUSES.keys() == {"intent", "charge", "refund", "dispute", "payout"}
    assert all(STATUSES[kind] == lifecycle_of("stripe", kind).moves.keys() for kind in STATUSES)
