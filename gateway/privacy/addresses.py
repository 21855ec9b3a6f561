"""Postal addresses: by street and district words, by the order of their parts, and after words that announce one."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from gateway.privacy import vocabulary as words
from gateway.privacy.found import ADDRESS, Found
from gateway.privacy.vietnamese_addresses import vietnamese_addresses
from gateway.privacy.view import UPPER, View
from gateway.privacy.vocabulary import Hit

_SMALL = r"(?:de|del|della|di|da|do|dos|das|du|des|la|le|les|van|von|der|den|av|i|na|of|nan|el|am|an|im|zum|zur|ul|al)"
_ATOM = rf"(?:[#{UPPER}0-9][\w'\u2019/#-]{{0,40}}\.?|{_SMALL}(?!\w)\.?|[dl]['\u2019][{UPPER}]\w{{0,30}})"
_GAP = r"[ \t]{0,2}[,\n]?[ \t\n>]{0,3}(?:\?\?\?[ ])?,?[ ]?"
_GAP_RE = re.compile(_GAP)
_RUN_RE = re.compile(rf"{_ATOM}(?:(?!\n\n){_GAP}{_ATOM}){{0,24}}")
_ATOM_RE = re.compile(_ATOM)
# Patterns that begin with what they look for, and then look back, are found fastest.
_NUMBER_FIRST_RE = re.compile(
    rf"[0-9](?<![\w.,/#-].)[0-9]{{0,4}}(?:[ ][0-9]{{1,5}})?[A-Za-z]?"
    rf"(?=,?[ ](?:[0-9]{{1,3}}(?:st|nd|rd|th)|[{UPPER}]|{_SMALL} ))"
)
_STREET_ENDINGS = (
    "straße strasse str gasse weg platz allee gatan vägen gata vej veien gade straat laan katu tie".split()
)
_LONG_STREETS = "street|avenue|road|lane|boulevard|drive|court|square|terrace|crescent|parkway|highway"
_STREET_FIRST_RE = re.compile(
    rf"(?<!\w)[{UPPER}]\w{{1,30}}(?:{'|'.join(_STREET_ENDINGS)})\.?[ ][0-9]{{1,4}}[a-z]?(?!\w)"
)
_LOWER_STREET_RE = re.compile(
    rf"(?<![\w.,/#-])[0-9]{{1,5}}[A-Za-z]?[ ](?:[^\W_][\w'\u2019.-]{{0,20}}[ ]){{1,4}}?(?:{_LONG_STREETS})(?!\w)",
    re.IGNORECASE,
)
_NAMED_STREET_RE = re.compile(
    rf"(?<!\w)(?:(?!The |In |On |At |A |This |Wall )[{UPPER}][\w'\u2019.-]{{0,20}}[ ]){{1,3}}"
    rf"(?:{_LONG_STREETS.title()}|Rd|Ave|Blvd)(?!\w)"
)
_BOX_RE = re.compile(
    r"(?<!\w)(?:P\.?[ ]?O\.?[ ]?Box|(?:PSC|Unit|CMR)[ ][0-9]{1,5},?[ ]Box|Postfach|Hộp thư)[ ]?#?[0-9]{1,7}",
    re.IGNORECASE,
)
_FLAT_RE = re.compile(r"(?<!\w)(?:Apt|Apartment|Suite|Ste|Căn hộ)\.?[ ]#?[0-9]{1,5}[A-Za-z]?(?!\w)", re.IGNORECASE)
_BEFORE_FLAT_RE = re.compile(r"(?<![\w.,])[0-9]{1,5}[A-Za-z]?[ ][^\n,.?!:@]{1,40}[\n, ]{1,4}\Z")
_BEFORE_FLAT_CHARS_MAX = 56
# Up to three short lines, or towns behind commas and a postcode.
_MORE_LINES_RE = re.compile(
    r"(?:[ ,]{0,2}\n[ >?]{0,5}(?:[^\n.?!:@<]{2,40}(?=\n|\Z))){1,3}"
    r"|(?:,[ ][^\W\d_][^\n,.?!:@]{1,24}){1,2}(?:[ ,]{1,2}[0-9]{4,6}(?!\w))?"
)
_AFTER_INTRO_RE = re.compile(
    r"[ \t]*(?:(?:is|are|là|la|to|at|here they are|in|ở|tại|của em|của tôi|cua em|sang|thành|mới|mới là|mới của em là|"
    r"nhận hàng|giao hàng|nhan hang|moi|moi la)(?= |:))?[ \t]*[:=,?\"-]{0,2}\s{0,2}>?"
)
_PARTS_MIN = 3
# Capitalised, and where an address ends.
_NO_ATOM = frozenset(
    """
    i my we you please thanks thank the this that can could would how is are and or but bot user hello hi dear
    regards when where what who why if it they phone tel email mail visa mastercard paypal order invoice january
    february march april may june july august september october november december monday tuesday wednesday thursday
    friday saturday sunday am pm usd eur vnd gbp sdt so cam on em anh chi toi minh shop giao nhe nha a cho va la ok
    api days hours minutes times items
    """.split()
)
_STATE_CHARS = 2
_DIGIT_RE = re.compile(r"[0-9]")


def addresses(view: View, text: str, hits: Sequence[Hit]) -> list[Found]:
    """Postal addresses, Vietnamese and Western. What is blank in `text` was found to be something else."""
    groups = 0
    for hit in hits:
        groups |= hit.groups
    found = list(vietnamese_addresses(view, text, hits)) if groups & words.VI_PLACE else []
    patterns = [_NAMED_STREET_RE] if groups & words.STREET else []
    if _DIGIT_RE.search(text) is not None:
        if groups & words.STREET:
            patterns.append(_LOWER_STREET_RE)
        if any(ending in text for ending in _STREET_ENDINGS):
            patterns.append(_STREET_FIRST_RE)
        if groups & words.UNIT:
            patterns.append(_BOX_RE)
            found += _with_flats(view, text)
        streets = [hit.start for hit in hits if hit.groups & (words.STREET | words.STREET_SHORT | words.CITY)]
        for hit in hits:
            if hit.groups & words.ADDRESS_INTRO or (hit.groups & words.ADDRESS_WEAK and _may_follow(text, hit.end)):
                found += _announced(view, text, hit, streets)
        found += _numbered(view, text, streets)
    for pattern in patterns:
        found += [_address(view, match.start(), _extended(view, text, match.end())) for match in pattern.finditer(text)]
    return found


def _numbered(view: View, text: str, streets: Sequence[int]) -> Iterator[Found]:
    """Runs that begin with a house number."""
    at = 0
    while (number := _NUMBER_FIRST_RE.search(text, at)) is not None:
        start = number.start()
        run = _RUN_RE.match(text, start)
        at = max(number.end(), run.end() if run else 0)
        if run is None or not _is_address(text, start, run.end(), streets):
            continue
        end = _run_end(view, text, start)
        at = max(number.end(), end)
        if _is_address(text, start, end, streets):
            yield _address(view, start, end)


def _address(view: View, start: int, end: int) -> Found:
    # A full stop is the sentence's.
    end -= view.text[end - 1] in ".,"
    return Found(start, end, ADDRESS, " ".join(view.flat[start:end].split()))


def _is_address(text: str, start: int, end: int, streets: Sequence[int]) -> bool:
    """Whether a run that begins with a number is an address: a street's word, or a postcode behind another part.

    `streets` is where words for streets, and names of cities, stand.
    """
    written = text[start:end]
    if bisect_left(streets, start) < bisect_left(streets, end):
        return True
    if any(ending in written for ending in _STREET_ENDINGS):
        return True
    if "," not in written and "\n" not in written:
        return False
    return len(written.split()) >= _PARTS_MIN and _DIGIT_RE.search(written.lstrip("0123456789")) is not None


def _run_end(view: View, text: str, start: int) -> int:
    """The end of the run of capitalised words and numbers from `start`, before what belongs to no address."""
    run = _RUN_RE.match(text, start)
    if run is None:
        return start
    end = start
    for atom in _ATOM_RE.finditer(text, start, run.end()):
        written = atom[0]
        if written.islower():
            # It joins two parts, and ends no address.
            continue
        is_state = len(written) == _STATE_CHARS and written.isupper()
        if not is_state and written.isascii() and view.flat[atom.start() : atom.end()].strip() in _NO_ATOM:
            break
        end = atom.end()
    return end


def _with_flats(view: View, text: str) -> Iterator[Found]:
    for match in _FLAT_RE.finditer(text):
        before = _BEFORE_FLAT_RE.search(text, max(0, match.start() - _BEFORE_FLAT_CHARS_MAX), match.start())
        yield _address(view, before.start() if before else match.start(), _extended(view, text, match.end()))


def _extended(view: View, text: str, end: int) -> int:
    """The end with what follows: more parts in capitals, short lines, or a town and its postcode."""
    gap = _GAP_RE.match(text, end)
    end = max(end, _run_end(view, text, gap.end())) if gap else end
    more = _MORE_LINES_RE.match(text, end)
    return more.end() if more else end


def _may_follow(text: str, at: int) -> bool:
    """Whether a part of an address comes after a word as common as "in" or "at"."""
    first = text[at + 1 : at + 2]
    return first.isdigit() or first.isupper()


def _announced(view: View, text: str, hit: Hit, streets: Sequence[int]) -> Iterator[Found]:
    after = _AFTER_INTRO_RE.match(text, hit.end)
    assert after is not None, "it matches nothing as well"
    start = after.end()
    run = _RUN_RE.match(text, start)
    if run is None or _DIGIT_RE.search(run[0]) is None:
        return
    end = _run_end(view, text, start)
    written = text[start:end]
    has_number = len(written.split()) > 1 and _DIGIT_RE.search(written) is not None
    if has_number and (hit.groups & words.ADDRESS_INTRO or _is_address(text, start, end, streets)):
        yield _address(view, start, end)
