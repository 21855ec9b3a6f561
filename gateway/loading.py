"""`recount documents load`: a folder or a file of documents to the gateway, resumable; only what changed is sent."""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from domain.errors import RetryableError, TerminalError
from domain.ids import is_object_id, is_tenant
from gateway.formats import media_type_of

REQUESTS_AT_ONCE = 16
ATTEMPTS_MAX = 6
TIMEOUT_S = 60.0
_ID_CHARS = 16
_BUSY = frozenset({429, 503})


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is loaded where. `is_pruning` takes back what an earlier run published and what is gone from the path."""

    gateway: str
    api_key: str
    tenant: str
    path: Path
    is_pruning: bool = False


class Summary(msgspec.Struct, kw_only=True):
    """What a run came to, in documents. `refused` names each with the reason."""

    published: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    refused: dict[str, str] = {}


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a `.jsonl` file; `path` and `content` are other names that such files have."""

    id: str = ""
    path: str = ""
    title: str = ""
    text: str = ""
    content: str = ""
    format: str = "markdown"
    metadata: Mapping[str, str] = {}


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """One request: where it goes, what it carries."""

    document_id: str
    name: str
    route: str
    body: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.media_type.encode() + b"\0" + self.body).hexdigest()


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file that remembers: this content is durable; an empty digest says that it was taken back."""

    document_id: str
    digest: str


async def load_documents(job: Load, *, folder: Path, talk: Console) -> Summary:
    """Publish every document of the path that is not published as it is; `folder` keeps how far this has come.

    Raises:
        TerminalError: the path has no documents, or two of one id; the gateway refuses the credential.
        RetryableError: the gateway does not answer; run again, it goes on.
    """
    if not is_tenant(job.tenant):
        raise TerminalError(f"{job.tenant!r} is no tenant's name")
    names = _names(job.path)
    memory = _Memory(folder, job)
    summary = Summary()
    headers = {"Authorization": f"Bearer {job.api_key}"}
    place = f"{job.gateway}/v1/{job.tenant}/documents"
    async with httpx.AsyncClient(headers=headers, timeout=TIMEOUT_S) as client, memory:
        with _bar(talk) as bar:
            task = bar.add_task("loading", total=len(names))
            documents = _documents(job.path, names)
            while batch := list(islice(documents, REQUESTS_AT_ONCE)):
                sending = (_publish(client, place, memory, each, summary) for each in batch)
                for failed in filter(None, await asyncio.gather(*sending, return_exceptions=True)):
                    raise failed  # After the others of the batch are through: what they published is remembered.
                bar.advance(task, len(batch))
        if job.is_pruning:
            for document_id in memory.published() - set(names):
                await _send(client, "DELETE", f"{place}/{document_id}", document_id, summary)
                memory.remember(document_id, "")
                summary.withdrawn += 1
    return summary


def document_id_of(name: str) -> str:
    """The id of a document that is called so in a folder or a file: `guides/refunds.md` is `guides:refunds.md`."""
    return re.sub(r"[^A-Za-z0-9_.:@=+~-]", "-", name.replace("/", ":"))[:200]


def _names(path: Path) -> dict[str, str]:
    """Document id -> file or line, of everything that is to be loaded."""
    if path.is_dir():
        found = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
        names = [name for name in found if media_type_of(Path(name)) is not None]
    elif path.suffix == ".jsonl" and path.is_file():
        names = [name for name, _ in _lines(path)]
    else:
        raise TerminalError(f"{path} is neither a folder nor a .jsonl file")
    ids: dict[str, str] = {}
    for name in names:
        document_id = document_id_of(name)
        if document_id in ids or not is_object_id(document_id):
            raise TerminalError(f"{name!r} and {ids.get(document_id)!r} would be one document, {document_id!r}")
        ids[document_id] = name
    if not ids:
        raise TerminalError(f"{path} has no document: text, Markdown, HTML or PDF")
    return ids


def _lines(path: Path) -> Iterator[tuple[str, _Line]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                line = msgspec.json.decode(raw, type=_Line)
            except msgspec.DecodeError as error:
                raise TerminalError(f"{path}, line {number}: {error}") from error
            name = line.id or line.path
            if not name:
                raise TerminalError(f"{path}, line {number}: a document needs an `id`")
            yield name, line


def _documents(path: Path, names: Mapping[str, str]) -> Iterator[_Document]:
    if path.is_dir():
        for document_id, name in names.items():
            media_type = media_type_of(Path(name))
            assert media_type is not None, f"{name} was taken for a document"
            yield _Document(
                document_id=document_id,
                name=name,
                route="/content",
                body=(path / name).read_bytes(),
                media_type=media_type,
            )
        return
    for name, line in _lines(path):
        text = line.text or line.content
        body: dict[str, Any] = {"title": line.title or name, "text": text, "format": line.format}
        yield _Document(
            document_id=document_id_of(name),
            name=name,
            route="",
            body=msgspec.json.encode(body | {"metadata": line.metadata}),
            media_type="application/json",
        )


async def _publish(
    client: httpx.AsyncClient, place: str, memory: "_Memory", document: _Document, summary: Summary
) -> None:
    if memory.has(document.document_id, document.digest):
        summary.unchanged += 1
        return
    if await _send(
        client,
        "PUT",
        f"{place}/{document.document_id}{document.route}",
        document.name,
        summary,
        content=document.body,
        headers={"Content-Type": document.media_type},
    ):
        memory.remember(document.document_id, document.digest)
        summary.published += 1


async def _send(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    name: str,
    summary: Summary,
    **options: Any,  # noqa: ANN401 - the client's options
) -> bool:
    """One request, again while the gateway is busy; whether it was taken. What is refused is noted."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            response = await client.request(method, url, **options)
        except httpx.HTTPError as error:
            raise RetryableError(f"no gateway answers at {url}: {error}; run it again, it goes on") from error
        if response.is_success or (method == "DELETE" and response.status_code == httpx.codes.NOT_FOUND):
            return True
        if response.status_code in _BUSY and attempt < ATTEMPTS_MAX:
            await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
            continue
        break
    problem = _problem(response)
    if response.status_code in {401, 404}:
        raise TerminalError(problem)
    if response.status_code in _BUSY:
        raise RetryableError(f"{problem}; run it again, it goes on")
    summary.refused[name] = problem
    return False


def _problem(response: httpx.Response) -> str:
    try:
        body = response.json()
        return f"{body['code']}: {body['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.url} answered {response.status_code}"


class _Memory:
    """What is published, in a file of lines that is only added to; a line that a crash cut off counts for nothing."""

    def __init__(self, folder: Path, job: Load) -> None:
        named = f"{job.gateway}\0{job.tenant}\0{job.path.resolve()}"
        self._path = folder / f"documents-{hashlib.sha256(named.encode()).hexdigest()[:_ID_CHARS]}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._digests: dict[str, str] = {}

    async def __aenter__(self) -> None:
        kept = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        whole = [line for line in kept if line.endswith(b"\n")]
        for line in whole:
            said = msgspec.json.decode(line, type=Published)
            self._digests[said.document_id] = said.digest
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(b"".join(_entry(each, digest) for each, digest in self._digests.items()))
        partial.replace(self._path)
        self._file = self._path.open("ab")

    async def __aexit__(self, *_: object) -> None:
        self._file.close()

    def has(self, document_id: str, digest: str) -> bool:
        return self._digests.get(document_id) == digest

    def remember(self, document_id: str, digest: str) -> None:
        self._digests[document_id] = digest
        self._file.write(_entry(document_id, digest))
        self._file.flush()

    def published(self) -> set[str]:
        return {each for each, digest in self._digests.items() if digest}


def _entry(document_id: str, digest: str) -> bytes:
    return msgspec.json.encode(Published(document_id=document_id, digest=digest)) + b"\n"


def _bar(talk: Console) -> Progress:
    columns: Sequence[Any] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=talk, disable=not talk.is_terminal)
