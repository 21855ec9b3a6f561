"""The `recount` command: the gateway's commands, and those that need a simulated world."""

from gateway.cli import app

main = app

__all__ = ["main"]
