"""What every test runs under."""

import asyncio
import os

import pytest
import pytest_randomly
from hypothesis import settings

from tests.stores import cell, place, postgres_server

__all__ = ["cell", "place", "postgres_server"]

# Ray reads these once, while it is imported, whichever test imports it first.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# Whoever asks for the loop of a thread that never had one is given a new one. pytest-asyncio does, to put it back after
# its own, and the next `asyncio.run` leaves it to the garbage collector: an error in whatever test runs by then.
asyncio.set_event_loop(None)

pytest.register_assert_rewrite("tests.spec")

# Seeders that installed packages announce: thinc's loads torch into every process that runs tests. No test draws there.
pytest_randomly.entrypoint_reseeds = []

# A slow machine is not a bug: the time of a whole test is bounded, that of one example is not.
settings.register_profile("recount", deadline=None, print_blob=True)
settings.register_profile("quick", parent=settings.get_profile("recount"), max_examples=10)
settings.load_profile("recount")
