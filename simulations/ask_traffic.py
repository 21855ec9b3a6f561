"""Questions as load: what is asked, in which words, and how often the same."""

import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

import msgspec

from simulations.bench_stack import API_KEY, TENANT
from simulations.http_load import request_bytes

SEED = 7
ZIPF_EXPONENT = 1.0

T = TypeVar("T")

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
    return zipf_drawn(random.Random(SEED), [ask_request(host, question) for question in questions])


def zipf_drawn(rng: random.Random, items: Sequence[T]) -> Callable[[], T]:
    """Draws an item by Zipf's law, the first the most often."""
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, len(items) + 1)))
    return lambda: rng.choices(items, cum_weights=weights)[0]


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
        return ask_request(host, question)

    return next_request


def ask_request(host: str, question: str, *, tenant: str = TENANT, api_key: str = API_KEY) -> bytes:
    """A question as it goes over the wire."""
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    return request_bytes("POST", host, f"/v1/{tenant}/ask", headers, msgspec.json.encode({"question": question}))
