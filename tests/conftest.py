"""What every test runs under."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.spec")

# A slow machine is not a bug: the time of a whole test is bounded, that of one example is not.
settings.register_profile("recount", deadline=None, print_blob=True)
settings.load_profile("recount")
