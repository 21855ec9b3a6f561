"""Which file is which, which columns go on, and what is said of rows that cannot be read."""

import pytest

from domain.errors import Rejection
from domain.tenant_settings import SourceSettings
from gateway.sources.csv_mapped import MappedCsv
from gateway.sources.csv_rows import Tabular
from gateway.sources.port import Reading, SourceModule, Unreadable
from tests.gateway.sources.csv_examples import MAPPED, MAPPING
from tests.gateway.sources.exports import ACTIVITY, BALANCE, PAYMENT, PAYOUT, SETTLEMENT, message, source
from tests.gateway.sources.mapped import mapping

ACQUIRER = MappedCsv("acquirer", SourceSettings(mapping=mapping(MAPPING)))


def wanted(of: SourceModule, columns: list[str]) -> list[str]:
    assert isinstance(of, Tabular)
    return list(of.wanted(columns))


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("stripe-csv", BALANCE),
        ("stripe-csv", PAYOUT),
        ("stripe-csv", PAYMENT),
        ("adyen-csv", SETTLEMENT),
        ("paypal-csv", ACTIVITY),
    ],
)
def test_of_a_file_s_columns_only_those_go_on_that_are_read(kind: str, row: dict[str, str]) -> None:
    of = source(kind, dates="dmy")
    columns = wanted(of, list(row))

    assert set(columns) < set(row)
    assert not {"Name", "Customer Email", "customer_email", "description", "Merchant Reference"} & set(columns)
    needed = message({column: row[column] for column in columns})
    assert of.read(needed, headers={}, ref="INGEST:7") == of.read(message(row), headers={}, ref="INGEST:7")


@pytest.mark.parametrize(
    ("kind", "row", "missing"),
    [
        ("stripe-csv", BALANCE, "charge_id"),
        ("stripe-csv", PAYMENT, "Captured"),
        ("adyen-csv", SETTLEMENT, "TimeZone"),
        ("paypal-csv", ACTIVITY, "Transaction ID"),
    ],
)
def test_a_file_that_is_no_such_export_is_told_which_columns_it_lacks(
    kind: str, row: dict[str, str], missing: str
) -> None:
    with pytest.raises(Rejection) as refused:
        wanted(source(kind), [column for column in row if column != missing])
    assert refused.value.code == "export.columns_missing"
    assert refused.value.detail.endswith(f"it has no column {missing}")


def test_a_mapped_export_is_told_which_columns_of_its_mapping_are_missing() -> None:
    assert wanted(ACQUIRER, list(MAPPED)) == [name for name in MAPPED if name not in {"Customer", "E-mail"}]
    with pytest.raises(Rejection, match="it has no column Booked, State"):
        wanted(ACQUIRER, [name for name in MAPPED if name not in {"State", "Booked"}])


def test_of_several_names_for_one_column_one_is_enough() -> None:
    toml = MAPPING.replace('"Order"', '{ path = ["Order", "Order No."] }')
    renamed = MappedCsv("acquirer", SourceSettings(mapping=mapping(toml)))

    columns = ["Order No." if name == "Order" else name for name in MAPPED]
    assert "Order No." in wanted(renamed, columns)
    result = renamed.read(message(dict(zip(columns, MAPPED.values(), strict=True))), headers={}, ref="INGEST:7")
    assert isinstance(result, Reading)
    assert result.facts[0].payment_id == "o-1"


@pytest.mark.parametrize("of", [source("stripe-csv"), ACQUIRER], ids=["fixed columns", "mapped"])
def test_a_row_that_was_not_to_be_had_says_why_and_where(of: SourceModule) -> None:
    refused = of.read(message(None, 17, problem="the row has 3 fields and the header 12"), headers={}, ref="INGEST:7")

    assert refused == Unreadable(code="body.row_malformed", detail="line 17: the row has 3 fields and the header 12")


def test_a_mapped_row_that_cannot_be_read_says_its_line() -> None:
    refused = ACQUIRER.read(message(MAPPED | {"State": "lost"}, 9), headers={}, ref="INGEST:7")

    assert isinstance(refused, Unreadable)
    assert (refused.code, refused.detail[:8]) == ("event.unknown_word", "line 9: ")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"line": "1"}', b'{"line": 1, "row": {"a": 1}}', b"\xff"])
def test_what_is_no_row_is_refused(raw: bytes) -> None:
    refused = source("stripe-csv").read(raw, headers={}, ref="INGEST:7")

    assert isinstance(refused, Unreadable)
    assert refused.code.startswith("body.")
