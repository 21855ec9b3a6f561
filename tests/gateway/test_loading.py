"""Documents are loaded once, a run that was ended goes on, and what changed or went away follows."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from rich.console import Console

from domain.errors import RetryableError, TerminalError
from gateway.loading import Load, Summary, document_id_of, load_documents

TALK = Console(quiet=True)


class Gateway:
    """Takes documents over HTTP. `answers` are the statuses of the next requests, 200 after them."""

    def __init__(self) -> None:
        self.documents: dict[str, str] = {}
        self.requests: list[str] = []
        self.answers: list[int] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""):
            lines = head.decode().split("\r\n")
            method, path, _ = lines[0].split()
            length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0)
            body = (await reader.readexactly(length)).decode() if length else ""
            status = self.answers.pop(0) if self.answers else 200
            self.requests.append(f"{method} {path}")
            name = path.removeprefix("/v1/acme/documents/").removesuffix("/content")
            if status == 200 and method == "DELETE":
                self.documents.pop(name, None)
            elif status == 200:
                self.documents[name] = body
            problem = json.dumps({"code": "some.code", "detail": "do something"}).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(problem)}\r\nRetry-After: 0\r\n\r\n".encode() + problem
            )


@asynccontextmanager
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(made.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def load(at: Gateway, path: Path, *, prune: bool = False) -> Summary:
    job = Load(gateway=at.url, api_key="key", tenant="acme", path=path, is_pruning=prune)
    return await load_documents(job, folder=path.parent / "imports", talk=TALK)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    (made / "guides").mkdir(parents=True)
    for name, text in (("refunds.md", "# Refunds"), ("guides/cards.html", "<p>Cards"), ("picture.png", "no")):
        (made / name).write_text(text)
    return made


async def test_a_folder_is_loaded_once_and_what_changed_is_sent_again(folder: Path) -> None:
    async with gateway() as at:
        first = await load(at, folder)
        second = await load(at, folder)
        (folder / "refunds.md").write_text("# Refunds, new")
        third = await load(at, folder)

    assert at.documents == {"refunds.md": "# Refunds, new", "guides:cards.html": "<p>Cards"}
    assert [(each.published, each.unchanged) for each in (first, second, third)] == [(2, 0), (0, 2), (1, 1)]


@pytest.mark.long
async def test_a_run_that_was_ended_goes_on(folder: Path) -> None:
    for number in range(40):
        (folder / f"more-{number:02}.txt").write_text(f"Text {number}")
    async with gateway() as at:
        at.answers = [200] * 20 + [401]
        with pytest.raises(TerminalError, match=r"some\.code"):
            await load(at, folder)
        kept = next((folder.parent / "imports").glob("*.jsonl"))
        kept.write_bytes(kept.read_bytes() + b'{"document_id": "cut of')
        summary = await load(at, folder)

    assert summary.unchanged >= 16
    assert summary.published + summary.unchanged == len(at.documents) == 42


async def test_pruning_takes_back_what_was_loaded_and_is_gone_and_nothing_else(folder: Path) -> None:
    async with gateway() as at:
        at.documents["by-hand"] = "stays"
        await load(at, folder)
        (folder / "refunds.md").unlink()
        kept = await load(at, folder)
        pruned = await load(at, folder, prune=True)
        again = await load(at, folder, prune=True)

    assert [each.withdrawn for each in (kept, pruned, again)] == [0, 1, 0]
    assert set(at.documents) == {"guides:cards.html", "by-hand"}


async def test_a_busy_gateway_is_asked_again_and_a_refused_document_is_named(tmp_path: Path) -> None:
    lines = [{"id": "a", "text": "One"}, {"path": "b/c", "content": "Two", "title": "B"}, {"id": "d", "text": ""}]
    path = tmp_path / "documents.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    async with gateway() as at:
        at.answers = [503, 429]
        first = await load(at, path)
        path.write_text(json.dumps({"id": "e", "text": "x"}))
        at.answers = [400]
        second = await load(at, path)

    assert (first.published, json.loads(at.documents["b:c"])["title"]) == (3, "B")
    assert second.refused == {"e": "some.code: do something"}


async def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"id": "a b", "text": "x"}\n{"id": "a-b", "text": "y"}')
    async with gateway() as at:
        for path, why in ((tmp_path / "empty", "no document"), (twice, "one document"), (tmp_path / "none", "neither")):
            with pytest.raises(TerminalError, match=why):
                await load(at, path)
        url = at.url
    job = Load(gateway=url, api_key="key", tenant="acme", path=tmp_path / "one.jsonl")
    job.path.write_text('{"id": "a", "text": "x"}')
    with pytest.raises(RetryableError, match="run it again"):
        await load_documents(job, folder=tmp_path / "imports", talk=TALK)


def test_the_id_of_a_document_comes_from_its_name() -> None:
    assert document_id_of("docs/FAQ/General.md") == "docs:FAQ:General.md"
    assert document_id_of("doc_(general)_001") == "doc_-general-_001"
