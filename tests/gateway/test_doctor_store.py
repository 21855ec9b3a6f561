"""What the doctor says of a log in PostgreSQL."""

import pytest

from gateway.doctor_store import store_findings
from tests.stores import Cell


@pytest.mark.stack
def test_a_server_that_will_do_is_named_with_its_version(cell: Cell) -> None:
    [finding] = store_findings(cell.address)

    assert (finding.level, finding.advice) == ("ok", "")
    assert "postgresql at 127.0.0.1, database postgres, version 1" in finding.found


@pytest.mark.stack
def test_a_server_that_takes_nothing_or_does_not_answer_is_an_error_with_advice(cell: Cell) -> None:
    cell.alter("SET default_transaction_read_only = on")

    [finding] = store_findings(cell.address)
    assert (finding.level, "transaction_read_only is on" in finding.found) == ("error", True)

    cell.alter("NOLOGIN")
    [finding] = store_findings(cell.address)
    assert (finding.level, "not permitted to log in" in finding.advice) == ("error", True)


def test_a_log_in_a_file_is_not_asked_about() -> None:
    assert list(store_findings("sqlite")) == []
