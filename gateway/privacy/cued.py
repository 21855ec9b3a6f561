"""Numbers that have no form of their own: the words beside them say what they are.

Each run of digits is looked at once, with the nearest cue before it and what follows it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.privacy import vocabulary as words
from gateway.privacy.found import ACCOUNT, ADDRESS, IMPERSONAL, LICENCE, NATIONAL_ID, PASSPORT, SECRET, SSN, TAX, Found
from gateway.privacy.found import PHONE as PHONE_TYPE
from gateway.privacy.numbers import CURRENCY
from gateway.privacy.phones import EXTENSION_RE, phone, phone_at
from gateway.privacy.view import View
from gateway.privacy.vocabulary import Hit


class _Rule(NamedTuple):
    """What a number is after a cue: how many characters may stand between, and how many digits it may have."""

    type: str
    reach: int
    digits_min: int
    digits_max: int


# The longest phrase decides, and where a word is in two groups the first here.
_RULES = {
    words.ORDER: _Rule(IMPERSONAL, 8, 1, 40),
    words.SSN: _Rule(SSN, 40, 9, 9),
    words.TAX: _Rule(TAX, 40, 9, 14),
    words.NATIONAL_ID: _Rule(NATIONAL_ID, 44, 9, 12),
    words.PHONE: _Rule(PHONE_TYPE, 40, 6, 15),
    words.ACCOUNT: _Rule(ACCOUNT, 44, 6, 19),
    words.BANK: _Rule(ACCOUNT, 30, 6, 19),
    words.PHONE_WEAK: _Rule(PHONE_TYPE, 16, 6, 15),
    words.ACCOUNT_WEAK: _Rule(ACCOUNT, 30, 8, 19),
    words.CODE: _Rule(SECRET, 24, 3, 8),
    words.ZIP: _Rule(ADDRESS, 16, 4, 9),
}
_MONEY_REACH = 4
_DIGITS_MIN = min(rule.digits_min for rule in _RULES.values() if rule.type != IMPERSONAL)
_AFTER_REACH, _LIST_REACH = 3, 6
_ALNUM_REACH = 34
# Bounded: each run is looked at as a whole.
_RUN_RE = re.compile(r"[0-9](?<![0-9].)(?:[ \n./()-]{0,2}+[0-9]){0,63}+")
_DIGITS_RE = re.compile(r"[0-9]+")
_THOUSANDS_RE = re.compile(r"[1-9][0-9]{0,2}(?:([.,])[0-9]{3})(?:\1[0-9]{3}){0,3}\Z")
_CURRENCY_AFTER_RE = re.compile(rf"[.,]?[0-9]{{0,2}} ?{CURRENCY}")
_CURRENCY_BEFORE_RE = re.compile(r"(?:[€$£₫¥]|(?i:USD|EUR|VND|GBP)) ?\Z")
_PHONE_AFTER_RE = re.compile(r"[ ,(:-]{0,3}(?:office|fax|mobile|cell|home|work)(?!\w)", re.IGNORECASE)
# An order's number follows at once; "the invoice to +84 ..." is about a telephone.
_ORDER_GAP_RE = re.compile(r"[\s:#.=-]{0,3}(?:(?:is|là|la|số|so|id|no|nr)[.:]?\s)?", re.IGNORECASE)
_AND_RE = re.compile(r"[\s,;/&|-]*(?:(?:va|hoac|or|and|hay)[\s:]+)?\Z")
_GLUED_RE = re.compile(r"(?:\A|[^a-z])(stk|tk|sdt|dt|sd|tel|mst|cccd|cmnd|cmt|otp|vcb|tcb|mb|acb|bidv|zalo|ssn)\Z")
_GLUED_CHARS_MAX = 6
_GLUED = {
    **dict.fromkeys(("stk", "tk"), words.ACCOUNT),
    **dict.fromkeys(("vcb", "tcb", "mb", "acb", "bidv"), words.BANK),
    **dict.fromkeys(("sdt", "dt", "sd", "tel", "zalo"), words.PHONE),
    **dict.fromkeys(("cccd", "cmnd", "cmt"), words.NATIONAL_ID),
    "mst": words.TAX,
    "otp": words.CODE,
    "ssn": words.SSN,
}
_ALNUM_RE = re.compile(r"(?<!\w)(?=[A-Za-z]{0,3}[0-9])(?:[A-Za-z]{1,3}[ -]?)?[0-9][0-9A-Za-z]{4,16}(?!\w)")
_SEPARATORS = str.maketrans("", "", " -\n./()+")


def cued(view: View, text: str, hits: Sequence[Hit], region: str) -> list[Found]:
    """Numbers that words beside them explain. Those that an order has are found as `IMPERSONAL`.

    Args:
        view: what the text is of.
        text: the view's text, with blanks where something was found.
        hits: its phrases.
        region: the country of phone numbers without a country code.
    """
    found = list(_alphanumeric(text, hits))
    cues = [hit for hit in hits if hit.groups & words.NUMBER_CUES]
    nearest: Hit | None = None
    seen = at = 0
    money_end = -_MONEY_REACH - 1
    previous: tuple[int, _Rule] | None = None
    while (run := _RUN_RE.search(text, at)) is not None:
        start = run.start()
        if run.end() - start < _DIGITS_MIN:
            at = run.end()
            continue
        while seen < len(cues) and cues[seen].end <= start:
            # Of two that end together the longer one comes first.
            if cues[seen].groups & words.MONEY:
                money_end = cues[seen].end
            elif nearest is None or cues[seen].end > nearest.end:
                nearest = cues[seen]
            seen += 1
        rule = _rule(view, run, nearest, previous)
        if rule is None and (rule := _rule_after(text, run, cues, seen)) is not None:
            run = _last_line(text, run)
        if rule is None or start - money_end <= _MONEY_REACH or _is_amount(text, run):
            taken = None
        else:
            taken = _take(text, run, rule, region)
        if taken is None or rule is None:
            at = run.end()
            previous = None
            continue
        found.append(taken)
        at = taken.end
        previous = (at, rule)
    return found


def _rule(view: View, run: re.Match[str], nearest: Hit | None, previous: tuple[int, _Rule] | None) -> _Rule | None:
    start = run.start()
    if previous is not None and start - previous[0] <= _LIST_REACH and _AND_RE.match(view.flat, previous[0], start):
        # One more of the same list.
        return previous[1]
    if start and view.flat[start - 1].isalpha():
        glued = _GLUED_RE.search(view.flat, max(0, start - _GLUED_CHARS_MAX), start)
        return _RULES[_GLUED[glued[1]]] if glued else None
    if nearest is None:
        return None
    for group, rule in _RULES.items():
        if nearest.groups & group:
            if start - nearest.end > rule.reach:
                return None
            if group == words.ORDER and not _ORDER_GAP_RE.fullmatch(view.text, nearest.end, start):
                return None
            # A cue speaks for the first number after it.
            return rule if _DIGITS_RE.search(view.text, nearest.end, start) is None else None
    return None


def _rule_after(text: str, run: re.Match[str], cues: Sequence[Hit], seen: int) -> _Rule | None:
    if _PHONE_AFTER_RE.match(text, run.end()):
        return _RULES[words.PHONE]
    for cue in cues[seen : seen + 2]:
        if cue.groups & words.BANK and 0 < cue.start - run.end() <= _AFTER_REACH:
            return _RULES[words.BANK]
    return None


def _last_line(text: str, run: re.Match[str]) -> re.Match[str]:
    """What follows a number speaks for the line that it is on."""
    start = text.rfind("\n", run.start(), run.end())
    return (_RUN_RE.match(text, start + 1) or run) if start >= 0 else run


def _is_amount(text: str, run: re.Match[str]) -> bool:
    return (
        _CURRENCY_AFTER_RE.match(text, run.end()) is not None
        or _CURRENCY_BEFORE_RE.search(text, max(0, run.start() - 5), run.start()) is not None
        or _THOUSANDS_RE.match(run[0]) is not None
    )


def _take(text: str, run: re.Match[str], rule: _Rule, region: str) -> Found | None:
    """The leading groups of a run that are a number of the rule's length, `None` if they are not."""
    start = run.start()
    if rule.type == PHONE_TYPE:
        start = _with_plus(text, start)
        # Two numbers with a space between are one run, and the first one's form says where it ends.
        own = phone_at(text, start, region)
        if own is not None:
            return own
    digits, end = 0, start
    for group in _DIGITS_RE.finditer(run[0]):
        if digits + len(group[0]) > rule.digits_max:
            break
        digits += len(group[0])
        end = run.start() + group.end()
    if digits < rule.digits_min:
        return None
    if rule.type == PHONE_TYPE:
        end = _with_extension(text, end)
        return phone(start, end, text[start:end], region)
    return Found(start, end, rule.type, text[start:end].translate(_SEPARATORS))


def _with_plus(text: str, start: int) -> int:
    """Where the number begins if the plus and the bracket before its first digit count."""
    if text[start - 1 : start] == "(":
        start -= 1
    if text[start - 1 : start] == "+":
        return start - 1
    return start - 2 if text[max(0, start - 2) : start] == "+ " else start


def _with_extension(text: str, end: int) -> int:
    extension = EXTENSION_RE.match(text, end)
    return extension.end() if extension else end


def _alphanumeric(text: str, hits: Sequence[Hit]) -> Iterator[Found]:
    """Passports and driving licences: letters and digits, right after their cue."""
    for hit in hits:
        if hit.groups & (words.PASSPORT | words.LICENCE):
            match = _ALNUM_RE.search(text, hit.end, hit.end + _ALNUM_REACH)
            if match:
                kind = PASSPORT if hit.groups & words.PASSPORT else LICENCE
                yield Found(*match.span(), kind, match[0].translate(_SEPARATORS).upper())
