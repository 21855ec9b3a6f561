"""One stack for all tests that leave it as it is."""

from collections.abc import Iterator

import pytest

from tests.stack.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with the tenants `acme` and `globex`; its end is checked, too."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
