"""What `recount doctor` finds of a log in PostgreSQL, and what any finding is."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from domain.errors import RetryableError, TerminalError
from projections.feeds import is_address
from projections.postgres import described, server_settings


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: what was found, and what to do if it is not well."""

    check: str
    level: Literal["ok", "warning", "error"]
    found: str
    advice: str = ""


def store_findings(url: str) -> Iterator[Finding]:
    """What could keep the server at `url` from keeping a log; nothing of a log in a file."""
    if not is_address(url):
        return
    check, where = "store", described(url)
    try:
        found = server_settings(url)
    except (RetryableError, TerminalError) as error:
        yield Finding(check=check, level="error", found=where, advice=error.reason)
        return
    version = f"{where}, version {found['server_version']}"
    wanted = {"server_encoding": "UTF8", "fsync": "on", "full_page_writes": "on", "transaction_read_only": "off"}
    unwell = {name: found[name] for name, value in wanted.items() if found[name] != value}
    if not unwell:
        yield Finding(check=check, level="ok", found=version)
    for name, value in unwell.items():
        consequence = {
            "server_encoding": "names that are not ASCII cannot be kept; make the database with ENCODING 'UTF8'",
            "transaction_read_only": "nothing can be appended; name the server that may be written to",
        }.get(name, "what was accepted can be lost with its power; its operator must turn it on")
        yield Finding(check=check, level="error", found=f"{version}: {name} is {value}", advice=consequence)
