"""Carrying out probes and actions: functions, requests, programs."""

import asyncio
import inspect
from importlib import import_module
from typing import Any

import httpx
import msgspec

from domain.errors import TerminalError
from simulations.chaos.experiment import Activity, HttpProvider, ProcessProvider, PythonProvider
from simulations.chaos.tolerance import is_within

PROCESS_TIMEOUT_S = 60.0
OUTPUT_CHARS_MAX = 2_000


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """An activity that was carried out. `is_met` is `None` without a tolerance."""

    name: str
    is_done: bool
    output: Any
    is_met: bool | None = None


async def carry_out(activity: Activity, names: dict[str, str]) -> Carried:
    """Do it, and see whether what it found is within its tolerance. `${url}` and the like stand for `names`."""
    await asyncio.sleep(activity.pauses.before)
    try:
        output = await _output(activity, names)
    except (OSError, httpx.HTTPError, TimeoutError, TerminalError, ValueError) as error:
        met = None if activity.tolerance is None else False
        return Carried(name=activity.name, is_done=False, output=f"{type(error).__name__}: {error}", is_met=met)
    await asyncio.sleep(activity.pauses.after)
    met = None if activity.tolerance is None else is_within(activity.tolerance, output)
    return Carried(name=activity.name, is_done=True, output=output, is_met=met)


async def _output(activity: Activity, names: dict[str, str]) -> Any:  # noqa: ANN401 - whatever it gives
    match activity.provider:
        case PythonProvider() as provider:
            return await _call(provider, names)
        case HttpProvider() as provider:
            return await _request(provider, names)
        case ProcessProvider() as provider:
            return await _run(provider, names)


async def _call(provider: PythonProvider, names: dict[str, str]) -> Any:  # noqa: ANN401 - whatever it gives
    try:
        function = getattr(import_module(provider.module), provider.func)
    except (ImportError, AttributeError) as error:
        raise TerminalError(f"{provider.module}.{provider.func} is not there: {error}") from error
    arguments = _filled(provider.arguments, names)
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    return await asyncio.to_thread(lambda: function(**arguments))


async def _request(provider: HttpProvider, names: dict[str, str]) -> Any:  # noqa: ANN401 - whatever it answers
    given = _filled(provider.arguments, names)
    options: dict[str, Any] = {"params": given} if provider.method.upper() == "GET" else {"json": given or None}
    timeout = provider.timeout[1] if isinstance(provider.timeout, tuple) else provider.timeout
    async with httpx.AsyncClient(timeout=timeout) as client:
        response = await client.request(
            provider.method, _filled(provider.url, names), headers=_filled(provider.headers, names), **options
        )
    if provider.expected_status is not None and response.status_code != provider.expected_status:
        raise TerminalError(f"it answered {response.status_code}")
    try:
        body = response.json()
    except ValueError:
        body = response.text[:OUTPUT_CHARS_MAX]
    return {"status": response.status_code, "headers": dict(response.headers), "body": body}


async def _run(provider: ProcessProvider, names: dict[str, str]) -> Any:  # noqa: ANN401 - what it said
    process = await asyncio.create_subprocess_exec(
        provider.path,
        *_filled(_words(provider.arguments), names),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(provider.timeout or PROCESS_TIMEOUT_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return {
        "status": process.returncode,
        "stdout": out.decode(errors="replace"),
        "stderr": err.decode(errors="replace"),
    }


def _words(arguments: str | list[str] | dict[str, str]) -> list[str]:
    match arguments:
        case str():
            return arguments.split()
        case dict():
            return [word for name, value in arguments.items() for word in (name, value) if word]
        case _:
            return arguments


def _filled(value: Any, names: dict[str, str]) -> Any:  # noqa: ANN401 - JSON, and the same
    match value:
        case str():
            for name, meant in names.items():
                value = value.replace(f"${{{name}}}", meant)
            return value
        case dict():
            return {key: _filled(each, names) for key, each in value.items()}
        case list():
            return [_filled(each, names) for each in value]
        case _:
            return value
