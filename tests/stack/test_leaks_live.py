"""Over real HTTP: another tenant's payments and another customer's are heard of by nobody, however it is asked."""

import json
from itertools import islice

import pytest

from gateway.answering.words import plain
from tests.gateway.leaks import ATTACKER, THEIRS, VICTIM, attempts, secret
from tests.gateway.sources.examples import CREATED, event, intent
from tests.stack.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SECRETS = [secret(100 + number, VICTIM, f"cus_{VICTIM}{number}") for number in range(5)]
SECRETS += [secret(200 + number, ATTACKER, THEIRS) for number in range(5)]
TRACES = sorted({trace for each in SECRETS for trace in each.traces()})
ATTEMPTS = 300


@pytest.fixture(scope="module")
def told(stack: Stack) -> Stack:
    """The stack, with the payments of others in both tenants."""
    for number, each in enumerate(SECRETS):
        minor = each.facts[0].amount_minor
        body = intent("succeeded", id=each.payment_id, customer=each.customer_id, amount=minor, amount_received=minor)
        raw = event("payment_intent.succeeded", body, id=f"evt_leak{number}", created=CREATED)
        assert stack.post(raw, each.tenant).status_code == 202
    stack.drained()
    return stack


def test_no_attempt_over_http_hears_of_another(told: Stack) -> None:
    client = told.client(ATTACKER)
    for _, attempt in islice(attempts(7, SECRETS), ATTEMPTS):
        response = client.post(f"/v1/{ATTACKER}/ask", json={"question": attempt.question, **attempt.fields})

        known = " ".join([attempt.question, plain(attempt.question), json.dumps(attempt.fields)])
        assert response.status_code in {200, 400}, response.text
        assert [each for each in TRACES if each in response.text and each not in known] == [], attempt


def test_a_credential_opens_no_other_tenants_questions(told: Stack) -> None:
    wanted = SECRETS[0]
    response = told.client(ATTACKER).post(f"/v1/{VICTIM}/ask", json={"question": f"Where is {wanted.payment_id}?"})

    assert (response.status_code, response.json()["code"]) == (404, "tenant.unknown")
    assert wanted.amount not in response.text


def test_the_payments_are_there_for_whom_they_belong_to(told: Stack) -> None:
    for wanted in (SECRETS[0], SECRETS[-1]):
        question = {"question": f"Did {wanted.payment_id} go through?", "customer_id": wanted.customer_id}
        response = told.client(wanted.tenant).post(f"/v1/{wanted.tenant}/ask", json=question)

        assert wanted.amount in response.json()["answer"]
