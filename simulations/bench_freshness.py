"""How soon a change and a deletion of a document are seen, over HTTP."""

import time

import httpx
import msgspec

from domain.errors import TerminalError
from simulations.bench_stack import API_KEY, SECRET, TENANT, stack
from simulations.client import GatewayClient
from simulations.http_load import percentile
from simulations.retrieval_corpora import Corpus

DOCUMENTS = 60
WAIT_S = 30.0


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the sending of a request to the first search that shows what it did."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    all_ms: list[float]


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """`documents` are there while one after the other is changed, then deleted. `ghosts` were seen after their end."""

    documents: int
    rounds: int
    changed: Delays
    deleted: Delays
    ghosts: int


async def freshness(corpus: Corpus, rounds: int) -> Freshness:
    """Publish the corpus's first documents, then change and delete one of them at a time."""
    texts: dict[str, str] = {}
    for passage in corpus.passages:
        texts[passage.document_id] = f"{texts.get(passage.document_id, '')}\n\n{passage.text}"
    names = sorted(texts)[:DOCUMENTS]
    changed_ms, deleted_ms, ghosts = [], [], 0
    async with (
        stack() as running,
        GatewayClient(running.http_url, tenant=TENANT, api_key=API_KEY, secret=SECRET) as gateway,
        httpx.AsyncClient(
            base_url=f"{running.http_url}/v1/{TENANT}",
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=WAIT_S,
        ) as client,
    ):
        for number, name in enumerate(names):
            await gateway.put_document(f"doc-{number}", name, texts[name])
        await gateway.drained(timeout_s=600)
        for round_ in range(rounds):
            number = round_ % len(names)
            mark = f"Notice {round_ + 1000} about parcels"
            body = {"title": names[number], "text": f"{texts[names[number]]}\n\n## {mark}\n\n{mark} is in force."}
            changed_ms.append(await _until(client, "PUT", f"doc-{number}", body, mark, is_there=True))
            deleted_ms.append(await _until(client, "DELETE", f"doc-{number}", None, mark, is_there=False))
            ghosts += await _finds(client, f"doc-{number}", mark)
            await gateway.put_document(f"doc-{number}", names[number], texts[names[number]])
            await gateway.drained()
    return Freshness(
        documents=len(names), rounds=rounds, changed=_delays(changed_ms), deleted=_delays(deleted_ms), ghosts=ghosts
    )


async def _until(
    client: httpx.AsyncClient, method: str, document_id: str, body: object, mark: str, *, is_there: bool
) -> float:
    started_s = time.perf_counter()
    response = await client.request(method, f"/documents/{document_id}", json=body)
    response.raise_for_status()
    while await _finds(client, document_id, mark) != is_there:
        if time.perf_counter() - started_s > WAIT_S:
            raise TerminalError(f"{method} of {document_id} is not seen after {WAIT_S:g} s")
    return round((time.perf_counter() - started_s) * 1000, 2)


async def _finds(client: httpx.AsyncClient, document_id: str, mark: str) -> bool:
    found = await client.post("/search", json={"question": f"What does {mark} say?", "top_k": 5})
    found.raise_for_status()
    return any(each["document_id"] == document_id and mark in each["text"] for each in found.json()["passages"])


def _delays(times_ms: list[float]) -> Delays:
    ordered = sorted(times_ms)
    return Delays(
        p50_ms=percentile(ordered, 0.5),
        p95_ms=percentile(ordered, 0.95),
        p99_ms=percentile(ordered, 0.99),
        all_ms=times_ms,
    )
