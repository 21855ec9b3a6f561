"""One stack for all tests that leave it as it is; each module has a tenant of its own."""

from collections.abc import Iterator

import pytest

from tests.stack.stack import OPERATOR_KEY, Stack
from tests.stack.story import Story

TENANTS = ("acme", "globex", "fuzzed", "garbled", "recorded", "shell")
# A source that a test pauses is let through at once.
REMEDIATION = f"""
[remediation]
operator_keys = ["{OPERATOR_KEY}"]
cool_down_s = 0.0
pause_s = 0.01
"""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; its end is checked, too."""
    with Stack(tmp_path_factory.mktemp("stack"), TENANTS, more=REMEDIATION) as running:
        yield running


@pytest.fixture
def story(stack: Stack) -> Story:
    """A payment that nothing was told of yet."""
    return Story(stack)
