"""Asking a past: the node's own answering over the projections of a replay, at the time of its last event.

The answer is entered in a ledger of the replay's own, so the history stays what it was. Nothing is published, and no
effect has anyone to perform it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from actors import index
from actors.index import DOCUMENTS, Index
from actors.journal import Journal
from actors.payment_shard import new_id
from actors.recorder import LogRecorder, open_log
from actors.shard import Shard
from actors.tenants import Tenants
from domain.errors import TerminalError
from domain.message import Trace
from domain.settings import NodeSettings, Weights
from domain.sharding import BUCKET_COUNT, tenant_bucket_of
from gateway.asking import AnswerJson, Asker, AskRequest
from gateway.changes import Listener
from gateway.http.problems import ProblemError
from gateway.ledger import Ledger
from gateway.replaying.history import History
from gateway.replaying.views import INDEX_NAME
from projections.embedder import DIMENSIONS, WEIGHTS_OF, Embedder, EmbeddingCache, TextEmbedder, Vectors, name_of
from projections.feed import LogEntry, Page, SqliteFeed
from projections.model_export import ensure_model
from projections.questions import QuestionCache

# What the replay itself enters: the answers that it gives, and a tenant's first generation where it had none.
OWN_LOG = "asked.sqlite"


class LazyEmbedder:
    """An embedding model of the node's, loaded when there is something to embed.

    Args:
        weights: the model's.
        space: the name of the model whose vectors these are compared with, if that is another one.
        model: makes it, if need be, and returns its directory.
    """

    def __init__(self, weights: Weights, *, space: str = "", model: Callable[[Weights], Path] = ensure_model) -> None:
        self.name = space or name_of(weights)
        self._weights = weights
        self._model = model
        self._lock = threading.Lock()
        self._loaded: Embedder | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, in order."""
        if not texts:
            return np.zeros((0, DIMENSIONS), dtype=np.float32)
        with self._lock:
            if self._loaded is None:
                self._loaded = Embedder(self._model(self._weights), space=self.name)
        return self._loaded.embed(texts)


class _Both:
    """The history, and behind it what the replay itself entered; the projections read the history alone."""

    def __init__(self, history: History, own: SqliteFeed) -> None:
        self._history = history
        self._own = own

    def head(self) -> int:
        return self._history.head()

    def read(self, after: int, *, limit: int, topics: Sequence[str] = ()) -> Page:
        return self._history.read(after, limit=limit, topics=topics)

    def stream(self, stream: str) -> list[LogEntry]:
        return self._history.stream(stream) or self._own.stream(stream)


class Past:
    """A replay that can be asked.

    Args:
        directory: where `gateway.replaying.replay` put it.
        at: the time at which it is asked.
        settings: how questions are answered.
        embedder: texts to vectors, both passages and questions; the node's models if not given.
    """

    def __init__(
        self, directory: Path, at: datetime, settings: NodeSettings, *, embedder: TextEmbedder | None = None
    ) -> None:
        self._directory = directory
        self._clock = lambda: at
        self._settings = settings
        of_passages, of_questions = WEIGHTS_OF[settings.index.precision]
        self._passages = embedder or LazyEmbedder(of_passages)
        self._questions = embedder or LazyEmbedder(of_questions, space=self._passages.name)
        self._log: LogRecorder = open_log(str(directory / OWN_LOG))
        self._index = self._open()
        self._ledger = Ledger(Journal(self._log), node="replay", clock=self._clock, new_id=new_id)

    def _open(self) -> Index:
        shard = Shard(
            Journal(self._log),
            index.KINDS,
            role=index.ROLE,
            buckets=range(BUCKET_COUNT),
            bucket=tenant_bucket_of,
            owner="replay",
            clock=self._clock,
            new_id=new_id,
        )
        return Index(
            shard=shard,
            tenants=lambda decide: Tenants(
                self._directory,
                is_here=lambda _: True,
                embedder=EmbeddingCache(self._passages, self._directory / "embeddings.sqlite"),
                decide=decide,
                feed=_Both(History(self._directory), SqliteFeed(str(self._directory / OWN_LOG))),
                # The node's vectors may be another model's; these are made here.
                model_of=lambda _: "",
                settings=self._settings.index,
            ),
            questions=QuestionCache(self._questions),
            feed_of=lambda: History(self._directory),
            data=self._directory,
            name=INDEX_NAME,
            incarnation="replay",
            clock_s=time.monotonic,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._log.datastore.close()

    def project(self) -> int:
        """Bring the documents up to the history's end, and see that the payments are there; returns the position."""
        for projection in index.PROJECTIONS:
            while self._index.turn(projection).is_behind:
                pass
        return self._index.position(DOCUMENTS)

    async def ask(self, tenant: str, question: str) -> AnswerJson:
        """The answer as the node would have given it then. Raises `TerminalError` if it would have refused."""
        position = self.project()
        asker = Asker(
            call_of=lambda _: self._call,
            listener_of=lambda _: Listener(
                self._call, on_change=lambda _: None, on_missed=lambda: None, clock_s=time.monotonic
            ),
            ledger=self._ledger,
            settings=self._settings.ask,
            clock=self._clock,
            new_id=new_id,
        )
        # Without documents there is nothing to search, and no model is needed for it.
        top_k = self._settings.ask.top_k if self._has_documents(tenant) else 0
        request = AskRequest(question=question, known_at=position, top_k=top_k)
        try:
            return await asker.ask(tenant, request, Trace())
        except ProblemError as error:
            raise TerminalError(f"{error.code}: {error.detail}") from error

    async def _call(self, method: str, payload: bytes) -> bytes:
        assert method == "query", f"a past is asked, not told to {method}"
        return self._index.query(payload)

    def _has_documents(self, tenant: str) -> bool:
        history = History(self._directory)
        try:
            return any(history.latest_streams(f"document:{tenant}/", limit=1))
        finally:
            history.close()
