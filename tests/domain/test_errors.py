"""Errors cross process borders whole."""

import pickle

import pytest

from domain.errors import FencedError, LostRaceError, Rejection, RetryableError, TerminalError


@pytest.mark.parametrize(
    "error",
    [
        FencedError("payments/7", held=1, current=2),
        LostRaceError("payment:acme/pi_1"),
        RetryableError("later"),
        TerminalError("never"),
        Rejection("fact.id_reused", "twice"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_behind_a_process_border(error: Exception) -> None:
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
