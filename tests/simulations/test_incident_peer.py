"""The naive peer is right about what arrives in order, and wrong for the reasons that are said of it."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.replaying.samples import Sample
from simulations.incident_books import BooksWord, word_of
from simulations.incident_peer import Arrived, answers_of_peer
from simulations.provider import Provider
from simulations.provider_scenario import Opened, Scenario
from tests.spec import NOON

TTL = timedelta(seconds=60)


class Account:
    """A provider whose webhooks are taken from it, and the books' word after each step."""

    def __init__(self) -> None:
        self.provider = Provider(Scenario(start=NOON, is_frozen=True, webhook_url="http://gateway.example"))
        self.provider.books.open(Opened(id="pi_1", amount=4_900))

    def bodies(self) -> list[bytes]:
        """The webhooks of what has happened since the last time."""
        due = self.provider.webhooks.due
        return [due.popleft().body for _ in range(len(due))]

    def word(self) -> BooksWord:
        return word_of(self.provider.books.lives["pi_1"])


def arrived(bodies: list[bytes], seconds: float) -> list[Arrived]:
    return [Arrived(at=at(seconds), body=body) for body in bodies]


def asked(number: int, seconds: float, books: BooksWord, phase: str = "disorder") -> Sample:
    data: dict[str, Any] = {"payment_id": "pi_1", "phase": phase, "books": msgspec.to_builtins(books)}
    return Sample(number=number, at=at(seconds), kind="answer", name=f"a_{number}", data=data)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_in_order_and_without_a_cache_it_is_right() -> None:
    account = Account()
    opened, first = account.bodies(), account.word()
    account.provider.books.step("pi_1", "succeed")
    told = [*arrived(opened, 1), *arrived(account.bodies(), 10)]

    report = answers_of_peer(told, [asked(1, 5, first), asked(2, 11, account.word())], ttl=timedelta(0), after="over")

    assert (report.asked, report.wrong) == (2, 0)


def test_what_arrives_last_wins_although_it_is_older() -> None:
    account = Account()
    opened = account.bodies()
    account.provider.books.step("pi_1", "succeed")
    told = [*arrived(account.bodies(), 1), *arrived(opened, 10)]

    report = answers_of_peer(told, [asked(1, 11, account.word())], ttl=timedelta(0), after="over")

    assert (report.asked, report.wrong) == (1, 1)


def test_an_answer_is_given_again_until_its_time_is_over() -> None:
    account = Account()
    opened, first = account.bodies(), account.word()
    account.provider.books.step("pi_1", "succeed")
    told = [*arrived(opened, 1), *arrived(account.bodies(), 10)]
    questions = [asked(1, 5, first), asked(2, 20, account.word()), asked(3, 70, account.word(), "over")]

    report = answers_of_peer(told, questions, ttl=TTL, after="over")

    assert (report.asked, report.wrong, report.asked_after, report.wrong_after) == (2, 1, 1, 0)


def test_what_comes_twice_counts_once_and_what_is_not_known_is_not_answered() -> None:
    account = Account()
    opened = account.bodies()
    account.provider.books.step("pi_1", "succeed")
    succeeded = account.bodies()
    told = [*arrived(opened, 1), *arrived(succeeded, 2), *arrived(opened, 3)]

    report = answers_of_peer(
        told, [asked(1, 0, account.word()), asked(2, 4, account.word())], ttl=timedelta(0), after="over"
    )

    assert (report.asked, report.wrong) == (1, 0)
