"""The API is as it describes itself, whatever is sent to it."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from tests.stack.stack import Stack, api_key

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TENANT = "fuzzed"

load_all_checks()
# The framework answers OPTIONS with the method that was registered first, and like most servers it overlooks what a
# query says beyond its parameters.
LEFT_OUT = {"allow_header_conformance", "negative_data_rejection"}
# What is text by its shape may still be no question, no time, no source of the tenant, no PDF, and HTML without words;
# and 1.0 is no amount.
LEFT_OUT_OF_JUDGED = {"positive_data_acceptance"}
JUDGED = ("/ask", "/payments", "/search", "/documents/{document_id}", "/content")


def test_every_answer_is_one_that_the_description_names(stack: Stack) -> None:
    description = schemathesis.openapi.from_url(f"{stack.url}/openapi.json")
    operations = list(description.get_all_operations())
    assert len(operations) > 10
    for each in operations:
        assert isinstance(each, Ok), each
        operation = each.ok()
        is_judged = operation.method in {"post", "put"} and operation.path.endswith(JUDGED)
        left_out = LEFT_OUT | (LEFT_OUT_OF_JUDGED if is_judged else set())
        checks = [check for check in CHECKS.get_all() if check.__name__ not in left_out]
        _send(operation, GenerationMode.POSITIVE, checks)
        if operation.path_parameters or operation.query or operation.body:
            _send(operation, GenerationMode.NEGATIVE, checks)


def _send(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, checks: list[Any]) -> None:
    """What fits the description, or what does not; the first answer that is amiss fails."""

    @settings(max_examples=30, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case[Any]) -> None:
        _validate(case, checks)

    send()


def _validate(case: schemathesis.Case[Any], checks: list[Any]) -> None:
    if "tenant" in case.path_parameters:
        case.path_parameters["tenant"] = TENANT
    for given_values in (case.query, case.body):
        # A position that is not reached yet is waited for, and answered 503; that is tested by itself.
        if isinstance(given_values, dict) and str(given_values.get("min_position", "")).isdigit():
            given_values["min_position"] = 0
    case.call_and_validate(headers={"Authorization": f"Bearer {api_key(TENANT)}"}, checks=checks)


def test_the_description_names_every_route_of_the_contract(stack: Stack) -> None:
    paths: dict[str, dict[str, Any]] = stack.get("/openapi.json")["paths"]

    assert {(path, method) for path, methods in paths.items() for method in methods} >= {
        ("/v1/{tenant}/webhooks/{source}", "post"),
        ("/v1/{tenant}/payments/{payment_id}", "get"),
        ("/v1/{tenant}/payments/{payment_id}/timeline", "get"),
        ("/v1/{tenant}/payments", "get"),
        ("/v1/{tenant}/ask", "post"),
        ("/v1/{tenant}/documents/{document_id}", "put"),
        ("/v1/{tenant}/documents/{document_id}", "get"),
        ("/v1/{tenant}/documents/{document_id}", "delete"),
        ("/v1/{tenant}/quarantine", "get"),
        ("/v1/{tenant}/quarantine/{entry_id}/requeue", "post"),
        ("/v1/{tenant}/quarantine/requeue", "post"),
        ("/v1/lag", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
    }


def test_the_description_asks_for_a_credential_wherever_one_is_asked_for(stack: Stack) -> None:
    paths = stack.get("/openapi.json")["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            if method == "post" and path.endswith("/webhooks/{source}"):
                continue  # It asks for the provider's signature, and answers 401 without one.
            answer = stack.client().request(method.upper(), path.replace("{tenant}", TENANT))
            assert bool(operation.get("security")) == (answer.status_code == 401), f"{method} {path}"


def test_times_and_limits_are_described(stack: Stack) -> None:
    shapes = stack.get("/openapi.json")["components"]["schemas"]

    assert shapes["PaymentJson"]["properties"]["as_of"] == {"type": "string", "format": "date-time"}
    assert shapes["AskRequest"]["properties"]["top_k"]["anyOf"][0] == {"type": "integer", "minimum": 0, "maximum": 20}
    assert shapes["AskRequest"]["additionalProperties"] is False
    assert shapes["Problem"]["required"] == ["type", "title", "status", "detail", "code"]


def test_the_description_has_a_page(stack: Stack) -> None:
    page = stack.client().get("/docs")

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "Recount" in page.text
    assert stack.client().get("/docs/openapi.json").json() == stack.get("/openapi.json")
