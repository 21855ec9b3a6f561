"""A past answers as the node would have answered then, and does nothing else."""

import socket
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

from domain.codec import Submission
from domain.document import PutDocument
from domain.effects import EffectRequested
from domain.errors import TerminalError
from domain.ids import stream_id
from domain.settings import NodeSettings, Weights
from gateway.replaying.asking import LazyEmbedder, Past
from gateway.replaying.history import FILE
from projections.embedder import HashEmbedder
from tests.gateway.correcting_world import World
from tests.gateway.replaying.past_world import recorder, replayed, world
from tests.spec import NOON
from tests.worlds import KINDS_WITH_DOCUMENTS, TENANT, entries_in, new_shard

__all__ = ["recorder", "world"]
pytestmark = pytest.mark.long
QUESTION = "Where is my refund for pi_1?"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a past reaches out")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)


def no_model(_weights: Weights) -> NoReturn:
    raise AssertionError("there is nothing to embed")


async def asked(directory: Path, question: str = QUESTION, at: datetime = NOON) -> str:
    with Past(directory, at, NodeSettings(), embedder=LazyEmbedder("fp32", model=no_model)) as past:
        return (await past.ask(TENANT, question)).answer


async def test_the_answer_is_the_one_that_was_known_then(world: World, tmp_path: Path) -> None:
    late = next(e.position for e in entries_in(world.recorder) if b"evt_31" in e.state)
    replayed(world, tmp_path / "before", late - 1)
    replayed(world, tmp_path / "after", late)

    assert "was refunded" in await asked(tmp_path / "before")
    assert "failed" in await asked(tmp_path / "after")


async def test_a_question_changes_neither_the_log_nor_the_history(world: World, tmp_path: Path) -> None:
    replayed(world, tmp_path / "then")
    head, history = world.head(), (tmp_path / "then" / FILE).read_bytes()
    first, second = await asked(tmp_path / "then"), await asked(tmp_path / "then")

    assert first == second
    assert world.head() == head
    assert (tmp_path / "then" / FILE).read_bytes() == history


async def test_what_was_outstanding_is_not_done(world: World, tmp_path: Path) -> None:
    """Sockets are refused here: the notification that is outstanding would need one."""
    assert world.events(EffectRequested)
    replayed(world, tmp_path / "then")
    await asked(tmp_path / "then")


async def test_documents_are_quoted_as_they_were_and_only_then_a_model_is_wanted(world: World, tmp_path: Path) -> None:
    shard = new_shard(world.recorder, owner="documents", kinds=KINDS_WITH_DOCUMENTS, role="documents")
    for text in ("Refunds reach the bank within nine days.", "Refunds reach the bank within two days."):
        put = PutDocument(document_id="refunds", title="Refunds", text=text)
        shard.handle([Submission(stream=stream_id("document", TENANT, "refunds"), command=put)])
    replayed(world, tmp_path / "first", world.head() - 1)
    replayed(world, tmp_path / "second")
    answers = []
    for name in ("first", "second"):
        with Past(tmp_path / name, NOON, NodeSettings(), embedder=HashEmbedder()) as past:
            answers.append((await past.ask(TENANT, "When do refunds reach the bank?")).answer)

    assert ["nine days" in answers[0], "two days" in answers[1]] == [True, True]
    with pytest.raises(Exception, match="nothing to embed"):
        await asked(tmp_path / "first")


async def test_a_question_that_the_node_would_refuse_is_refused(world: World, tmp_path: Path) -> None:
    replayed(world, tmp_path / "then")

    with pytest.raises(TerminalError, match=r"question\.empty"):
        await asked(tmp_path / "then", " ")
