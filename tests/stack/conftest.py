"""One stack for all tests that leave it as it is; each module has a tenant of its own."""

from collections.abc import Iterator

import pytest

from tests.stack.stack import Stack
from tests.stack.story import Story

TENANTS = ("acme", "globex", "fuzzed", "garbled", "recorded", "shell")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; its end is checked, too."""
    with Stack(tmp_path_factory.mktemp("stack"), TENANTS) as running:
        yield running


@pytest.fixture
def story(stack: Stack) -> Story:
    """A payment that nothing was told of yet."""
    return Story(stack)
