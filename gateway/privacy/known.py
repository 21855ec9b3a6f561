"""Who is known to be spoken of: the names, phones, accounts that were told about a customer or a tenant."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

import ahocorasick
import phonenumbers

from gateway.privacy.found import ACCOUNT, ADDRESS, EMAIL, NAME, PHONE, Found
from gateway.privacy.phones import canonical_phone
from gateway.privacy.view import View, flat

_WORD_RE = re.compile(r"[^ ]+")
_NOT_DIGITS_RE = re.compile(r"[^0-9]+")
_DIGIT_RE = re.compile(r"[0-9]")
_DIGITS_MIN = 6
# How far apart two digits of one number may be.
_DIGIT_GAP_MAX = 4
_NAME_WORDS_MAX = 8
_SINGLE_CHARS_MIN = 2


class _Form(tuple[str, str, int, bool]):
    """Type, canonical value, words or characters, and whether it must be capitalised in the text."""

    __slots__ = ()


class KnownSubjects:
    """People and what belongs to them, in whatever spelling; found in text in any accentuation and case.

    Args:
        names: full names; each is also found in another order, by initials, and by its first or last word if that is
            capitalised.
        phones: phone numbers.
        accounts: bank accounts and other numbers of theirs.
        emails: e-mail addresses and user names.
        addresses: postal addresses.
        region: the country of phone numbers without a country code.
    """

    def __init__(
        self,
        *,
        names: Iterable[str] = (),
        phones: Iterable[str] = (),
        accounts: Iterable[str] = (),
        emails: Iterable[str] = (),
        addresses: Iterable[str] = (),
        region: str = "VN",
    ) -> None:
        forms: dict[str, _Form] = {}
        for name in names:
            for form, needs_capital in name_forms(name):
                forms.setdefault(form, _Form((NAME, " ".join(_words(name)), form.count(" ") + 1, needs_capital)))
        for kind, values in ((EMAIL, emails), (ADDRESS, addresses), (ACCOUNT, accounts)):
            for value in values:
                form = " ".join(_words(value))
                if form:
                    canonical = value.lower() if kind == EMAIL else form.replace(" ", "") if kind == ACCOUNT else form
                    forms.setdefault(form, _Form((kind, canonical, form.count(" ") + 1, False)))
        self._words = _automaton({f" {form} ": of_form for form, of_form in forms.items()})
        digits: dict[str, _Form] = {}
        for number in phones:
            canonical = canonical_phone(flat(number) if number.isdigit() else number, region)
            for form in _phone_forms(number, canonical):
                digits.setdefault(form, _Form((PHONE, canonical, len(form), False)))
        for account in accounts:
            only = _NOT_DIGITS_RE.sub("", account)
            if len(only) >= _DIGITS_MIN:
                digits.setdefault(only, _Form((ACCOUNT, only, len(only), False)))
        self._digits = _automaton(digits)

    def find(self, view: View) -> list[Found]:
        """Where any of them is spoken of."""
        return [*self._by_words(view), *self._by_digits(view)]

    def _by_words(self, view: View) -> Iterator[Found]:
        if self._words is None:
            return
        spans = [match.span() for match in _WORD_RE.finditer(view.flat)]
        line = f" {' '.join(view.flat[start:end] for start, end in spans)} "
        ends: list[int] = []
        at = 0
        for start, end in spans:
            at += end - start + 1
            ends.append(at)
        for last, (kind, canonical, count, needs_capital) in self._words.iter(line):
            word = bisect_right(ends, last - 1)
            start, end = spans[word - count + 1][0], spans[word][1]
            if not needs_capital or view.text[start].isupper():
                yield Found(start, end, kind, canonical)

    def _by_digits(self, view: View) -> Iterator[Found]:
        if self._digits is None:
            return
        places = [match.start() for match in _DIGIT_RE.finditer(view.text)]
        if len(places) < _DIGITS_MIN:
            return
        digits = "".join(view.text[place] for place in places)
        for last, (kind, canonical, count, _) in self._digits.iter(digits):
            first = last - count + 1
            run = places[first : last + 1]
            if all(after - before <= _DIGIT_GAP_MAX for before, after in pairwise(run)):
                yield Found(run[0], run[-1] + 1, kind, canonical)


def _automaton(forms: dict[str, _Form]) -> ahocorasick.Automaton | None:
    if not forms:
        return None
    automaton = ahocorasick.Automaton()
    for form, of_form in forms.items():
        automaton.add_word(form, of_form)
    automaton.make_automaton()
    return automaton


def _words(text: str) -> list[str]:
    return flat(text).split()


def name_forms(name: str) -> Iterator[tuple[str, bool]]:
    """The ways to write a name, and whether it takes a capital to be one."""
    parts = _words(name)[:_NAME_WORDS_MAX]
    if not parts:
        return
    yield " ".join(parts), len(parts) == 1
    if len(parts) == 1:
        return
    first, last, middle = parts[0], parts[-1], parts[1:-1]
    for order in (
        [*parts[1:], first],
        [last, *parts[:-1]],
        parts[::-1],
        [first, last],
        [last, first],
        [*middle, last],
        [*middle[-1:], last],
        [first, *middle],
    ):
        yield " ".join(order), len(order) == 1
    yield "".join(parts), False
    yield f"{last}{first}", False
    yield f"{first}{last}", False
    initials = [part[0] for part in parts]
    for order in (
        initials,
        [*initials[:-1], last],
        [first, *initials[1:]],
        [initials[0], last],
        [first, initials[-1]],
        [initials[-1], first],
        [last, initials[0]],
        [last, *initials[:-1]],
    ):
        yield " ".join(order), True
    yield "".join(initials), True
    for single in (last, first):
        if len(single) >= _SINGLE_CHARS_MIN:
            yield single, True


def _phone_forms(number: str, canonical: str) -> Iterator[str]:
    written = _NOT_DIGITS_RE.sub("", number)
    international = _NOT_DIGITS_RE.sub("", canonical)
    national = str(phonenumbers.parse(canonical).national_number) if canonical.startswith("+") else ""
    for form in {written, written.lstrip("0"), international, national}:
        if len(form) >= _DIGITS_MIN:
            yield form
