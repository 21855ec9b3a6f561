"""Questions as load: what is asked, in which words, and how often the same."""

import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from simulations.bench_stack import API_KEY, TENANT
from simulations.http_load import request_bytes

SEED = 7
ZIPF_EXPONENT = 1.0

_TEMPLATES = (
    "Where is my refund for {payment}?",
    "What happened to {payment}?",
    "Was {payment} charged twice?",
    "How long does a refund take for {payment}?",
)


def questions_about(payments: Sequence[str]) -> list[str]:
    """One question about each payment."""
    return [_TEMPLATES[n % len(_TEMPLATES)].format(payment=payment) for n, payment in enumerate(payments)]


def zipf(host: str, questions: Sequence[str]) -> Callable[[], bytes]:
    """Requests that repeat the questions by Zipf's law, the first the most often."""
    requests = [_request(host, {"question": question}) for question in questions]
    rng = random.Random(SEED)
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, len(requests) + 1)))
    return lambda: rng.choices(requests, cum_weights=weights)[0]


def never_twice(host: str, payments: Sequence[str], word: str = "") -> Callable[[], bytes]:
    """Questions that differ in their words, so that neither the answer nor the question's vector is known.

    Two runs on one node take a `word` each.
    """
    rng = random.Random(SEED)
    asked = 0

    def next_request() -> bytes:
        nonlocal asked
        asked += 1
        template = _TEMPLATES[asked % len(_TEMPLATES)]
        question = f"{template.format(payment=rng.choice(payments))} This is my question number {asked}{word}."
        return _request(host, {"question": question})

    return next_request


def _request(host: str, body: dict[str, Any]) -> bytes:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    return request_bytes("POST", host, f"/v1/{TENANT}/ask", headers, msgspec.json.encode(body))
