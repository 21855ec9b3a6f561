"""A language model behind an OpenAI-compatible chat endpoint: streamed, within a time, and whole or not at all.

https://platform.openai.com/docs/api-reference/chat/create
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Literal, Protocol

import httpx
import msgspec

from domain.settings import ComposerSettings

STREAM_BYTES_MAX = 262_144

Trouble = Literal["timeout", "away", "status", "cut", "garbled"]


class ChatError(Exception):
    """The model gave no whole text: it was late, away, refused, cut off, or not to be read."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(f"{trouble}: {detail}")
        self.trouble = trouble


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: Literal["system", "user"]
    content: str


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole text, and what it cost in tokens, where the endpoint says so."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class ChatModel(Protocol):
    """Says something to messages. Raises `ChatError`."""

    async def complete(self, messages: Sequence[ChatMessage]) -> Completion: ...


class _Delta(msgspec.Struct, kw_only=True):
    content: str | None = None


class _Choice(msgspec.Struct, kw_only=True):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Usage(msgspec.Struct, kw_only=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct, kw_only=True):
    choices: list[_Choice] = []
    usage: _Usage | None = None


class HttpChatModel:
    """The model of the settings. Nothing is tried twice: an answer does not wait that long.

    Args:
        settings: where it is, and how long it may take.
        client: makes the requests.
    """

    def __init__(self, settings: ComposerSettings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client

    async def complete(self, messages: Sequence[ChatMessage]) -> Completion:
        """The text. Raises `ChatError`."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._stream(messages)
        except TimeoutError as error:
            raise ChatError("timeout", f"nothing whole within {self._settings.timeout_s} s") from error
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            raise ChatError("cut", str(error)) from error
        except httpx.TimeoutException as error:
            raise ChatError("timeout", str(error)) from error
        except httpx.HTTPError as error:
            raise ChatError("away", str(error)) from error
        except msgspec.DecodeError as error:
            raise ChatError("garbled", str(error)) from error

    async def _stream(self, messages: Sequence[ChatMessage]) -> Completion:
        settings = self._settings
        body = {
            "model": settings.model,
            "messages": msgspec.to_builtins(list(messages)),
            "max_tokens": settings.tokens_max,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        url = f"{settings.url.rstrip('/')}/chat/completions"
        async with self._client.stream(
            "POST", url, json=body, headers=headers, timeout=settings.timeout_s, follow_redirects=False
        ) as response:
            if response.status_code != HTTPStatus.OK:
                raise ChatError("status", str(response.status_code))
            return await _read(response)


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """The data of each event. Raises `ChatError` for a stream that grows beyond any answer."""
    size, rest = 0, b""
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > STREAM_BYTES_MAX:
            raise ChatError("garbled", f"more than {STREAM_BYTES_MAX} bytes")
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line.removeprefix(b"data:").strip()


async def _read(response: httpx.Response) -> Completion:
    """The text of a stream of server-sent events that says itself that it is at its end."""
    pieces: list[str] = []
    usage: _Usage | None = None
    finish = ""
    async for data in _events(response):
        if data == b"[DONE]":
            break
        chunk = msgspec.json.decode(data, type=_Chunk)
        usage = chunk.usage or usage
        for choice in chunk.choices[:1]:
            pieces.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    if finish != "stop":
        raise ChatError("cut", f"the stream ended with {finish or 'no reason'}")
    return Completion(
        text="".join(pieces).strip(),
        input_tokens=usage.prompt_tokens if usage is not None else None,
        output_tokens=usage.completion_tokens if usage is not None else None,
    )
