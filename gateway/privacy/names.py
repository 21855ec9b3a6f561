"""Names of people that nobody told us of: after the words that announce one, and those that many people have."""

import re
from collections.abc import Iterator, Sequence

from gateway.privacy import gazetteer
from gateway.privacy import vocabulary as words
from gateway.privacy.common_words import AMBIGUOUS, NO_NAME, VERBS, VIETNAMESE_TITLES, VIETNAMESE_WORDS
from gateway.privacy.found import NAME, Found
from gateway.privacy.view import UPPER, View
from gateway.privacy.vocabulary import Hit

_NAME_WORD = rf"[{UPPER}](?:[\w]|['\u2019-](?=\w)){{0,30}}"
_PARTICLE = r"(?:van|von|der|den|de|del|della|da|di|dos|du|la|le|bin|al|el|ter|zu|y|of)"
# One line, at most six words: nobody's name goes over more.
_RUN_RE = re.compile(
    rf"(?:{_NAME_WORD}\.?(?:[ ]|(?=[{UPPER}])))?{_NAME_WORD}(?:\.?[ ](?:{_PARTICLE}[ ]){{0,2}}{_NAME_WORD}){{0,5}}"
)
_AFTER_INTRO_RE = re.compile(r"[ \t]*(?:(?:is|was|la|là|as|to|l)(?= ))?[ \t]*[:=,\"'\u201c-]{0,2}[ \t]*")
_LOWER_RUN_RE = re.compile(r"[^\W\d_]{1,20}(?:[ ][^\W\d_]{1,20}){0,4}")
_WORD_RE = re.compile(r"\w[\w'\u2019-]*")
_SENTENCE_END = frozenset('.!?\n:"\u201c>•-*')

_VI_FAMILY = gazetteer.spellings(gazetteer.VIETNAMESE_FAMILY)
_VI_SURE = gazetteer.spellings(gazetteer.VIETNAMESE_FAMILY_SURE)
_VI_MIDDLE = gazetteer.spellings(gazetteer.VIETNAMESE_MIDDLE)
_VI_GIVEN = gazetteer.spellings(gazetteer.VIETNAMESE_GIVEN)
_CUES = words.INTRO | words.INTRO_WEAK | words.TITLE | words.VI_TITLE
_COMMON = words.VI_FAMILY | words.FIRST | words.LAST
_WORDS_MAX = 5
_MIDDLES_MAX = 2
_LISTED_MAX = 8
_LOWER_CHARS_MIN = 5
_AND_RE = re.compile(r",? (?:and|và|va|&) |, ")


def names(view: View, text: str, hits: Sequence[Hit], *, with_gazetteer: bool) -> list[Found]:
    """Names after cues, and with the gazetteer those that many people have.

    Args:
        view: what the text is of.
        text: the view's text, with blanks where something was found.
        hits: its phrases.
        with_gazetteer: whether a common name is one without a cue.
    """
    found: list[Found] = []
    end = 0
    for hit in hits:
        groups = hit.groups
        if hit.start < end:
            continue
        if groups & _CUES:
            found += _announced(view, text, hit)
        if with_gazetteer and groups & _COMMON:
            found += _common(view, text, hit)
        if found:
            end = max(end, found[-1].end)
    return found


def _name(view: View, start: int, end: int) -> Found:
    return Found(start, end, NAME, _canonical(view, start, end))


def _canonical(view: View, start: int, end: int) -> str:
    return " ".join(view.flat[start:end].split())


def _listed(view: View, text: str, end: int) -> Iterator[Found]:
    """The names that follow a name in a list ("Nam, Lan và Hoa")."""
    for _ in range(_LISTED_MAX):
        more = _AND_RE.match(text, end)
        start = more.end() if more else end
        end = _run_end(view, text, start)
        if end == start:
            return
        yield _name(view, start, end)


def _announced(view: View, text: str, hit: Hit) -> Iterator[Found]:
    groups = hit.groups
    if (
        groups & words.VI_TITLE
        and text[hit.start : hit.end].lower() not in VIETNAMESE_TITLES
        and not groups & words.INTRO_WEAK
    ):
        return
    begins: int | None = None
    if groups & words.TITLE:
        begins = hit.start
        start = hit.end + (text[hit.end : hit.end + 1] == ".")
        start += text[start : start + 1] == " "
    elif not groups & words.INTRO:
        start = hit.end + (text[hit.end : hit.end + 1] == ":")
        start += text[start : start + 1] in (" ", "\n")
    else:
        after = _AFTER_INTRO_RE.match(text, hit.end)
        assert after is not None, "it matches nothing as well"
        start = after.end()
    end = _run_end(view, text, start, is_sure=bool(groups & (words.INTRO | words.VI_TITLE)))
    if end > start:
        yield Found(start if begins is None else begins, end, NAME, _canonical(view, start, end))
        yield from _listed(view, text, end)
    elif groups & (words.INTRO | words.INTRO_WEAK | words.VI_TITLE):
        end = _lower_end(view, text, start, cue=view.flat[hit.start : hit.end], is_title=not groups & words.INTRO)
        if end > start:
            yield _name(view, start, end)


def _run_end(view: View, text: str, start: int, *, is_sure: bool = False) -> int:
    """Where the run of capitalised words from `start` ends, before the first that is in no name; `start` if none is.

    Many Vietnamese names are words in another sense: they count behind another word of the name, or where one `is_sure`
    that a name comes.
    """
    run = _RUN_RE.match(text, start)
    if run is None:
        return start
    end = start
    for count, word in enumerate(_WORD_RE.finditer(text, start, run.end())):
        plain = view.flat[word.start() : word.end()].strip()
        if count == _WORDS_MAX or plain.startswith("i "):
            break
        if plain in NO_NAME and not ((count or is_sure) and _is_vietnamese(text[word.start() : word.end()], plain)):
            break
        if text[word.start()].isupper():
            end = word.end()
    return end


def _is_vietnamese(word: str, plain: str) -> bool:
    return any(_is_in(word, plain, each) for each in (_VI_FAMILY, _VI_MIDDLE, _VI_GIVEN))


def _lower_end(view: View, text: str, start: int, *, cue: str, is_title: bool) -> int:
    """The end of a name in lower case after a cue: of one word only after a phrase that leaves no doubt.

    After a title it must begin with a family name, and without accents have three words.
    """
    run = _LOWER_RUN_RE.match(text, start)
    if run is None:
        return start
    end, count = start, 0
    for word in _WORD_RE.finditer(text, start, run.end()):
        plain = view.flat[word.start() : word.end()]
        is_western = plain not in NO_NAME and (plain in gazetteer.WESTERN_FIRST or plain in gazetteer.WESTERN_LAST)
        if not (is_western or _is_vietnamese(word[0], plain)):
            break
        end, count = word.end(), count + 1
    written = text[start:end]
    first = view.flat[start:end].split(" ", 1)[0]
    if is_title:
        is_name = _is_in(written.split(" ", 1)[0], first, _VI_FAMILY) and count > 1 + written.isascii()
        return end if is_name else start
    is_sure = " " in cue and (first not in NO_NAME or "name" not in cue)
    return end if count > 1 or is_sure else start


def _is_in(word: str, plain: str, spellings: dict[str, frozenset[str]]) -> bool:
    """Whether a word is one of them: with its accents, or typed without any."""
    written = spellings.get(plain)
    if written is None:
        return False
    lower = word.lower()
    return lower == plain or lower in written


def _common(view: View, text: str, hit: Hit) -> Iterator[Found]:
    start, end = hit.start, hit.end
    word = text[start:end]
    if hit.groups & words.VI_FAMILY:
        name_end = _vietnamese_end(view, text, hit)
        if name_end > end:
            yield _name(view, start, name_end)
            return
    if not hit.groups & (words.FIRST | words.LAST):
        return
    if not word[:1].isupper():
        if len(word) >= _LOWER_CHARS_MIN and view.flat[start:end] not in AMBIGUOUS and hit.groups & words.FIRST:
            yield _name(view, start, end)
        return
    run_end = _run_end(view, text, start)
    plain = view.flat[start:end]
    is_alone = run_end <= end
    if is_alone and (plain in AMBIGUOUS or (word.isupper() and len(word) > 1 and _is_shouted(text, start, end))):
        return
    if plain in VERBS and _begins_sentence(text, start):
        return
    if run_end > start:
        yield _name(view, start, run_end)
        yield from _listed(view, text, run_end)


def _is_shouted(text: str, start: int, end: int) -> bool:
    """Whether what stands around is in capitals too."""
    around = text[max(0, start - 12) : start] + text[end : end + 12]
    letters = [letter for letter in around if letter.isalpha()]
    return bool(letters) and all(letter.isupper() for letter in letters)


def _begins_sentence(text: str, start: int) -> bool:
    before = text[max(0, start - 4) : start].rstrip(" ")
    return not before or before[-1] in _SENTENCE_END


def _vietnamese_end(view: View, text: str, hit: Hit) -> int:
    """Where the name that begins with this family name ends; the family name's own end if none does."""
    family = text[hit.start : hit.end]
    plain = view.flat[hit.start : hit.end]
    is_capital = family[0].isupper()
    if (plain in VIETNAMESE_WORDS and not is_capital and family.isascii()) or not _is_in(family, plain, _VI_FAMILY):
        return hit.end
    rest = [match.span(1) for match in _next_words(text, hit.end)]
    end = hit.end
    given = 0
    for count, (start, stop) in enumerate(rest):
        word, flat = text[start:stop], view.flat[start:stop]
        is_given = _is_in(word, flat, _VI_GIVEN)
        is_middle = _is_in(word, flat, _VI_MIDDLE)
        if is_capital and word[0].isupper() and (flat not in NO_NAME or is_given or is_middle):
            end, given = stop, given + 1
        elif not is_capital and (is_given or (is_middle and count < _MIDDLES_MAX)) and word.islower():
            end, given = stop, given + is_given
        else:
            break
    if is_capital:
        return end
    # In lower case, two words may be anything: the family must be sure, or family, middle and given name must be there.
    if _is_in(family, plain, _VI_SURE):
        return end if given else hit.end
    is_plain = text[hit.start : end].isascii()
    is_whole = given and view.flat[hit.start : end].count(" ") > 1 and _has_middle(view, text, rest, end)
    return end if is_whole and not (is_plain and plain in NO_NAME | VIETNAMESE_WORDS) else hit.end


def _has_middle(view: View, text: str, rest: Sequence[tuple[int, int]], end: int) -> bool:
    start, stop = rest[0]
    return stop < end and _is_in(text[start:stop], view.flat[start:stop], _VI_MIDDLE)


def _next_words(text: str, at: int) -> Iterator[re.Match[str]]:
    """The up to four words that follow on the same line with one space between."""
    for _ in range(_WORDS_MAX - 1):
        match = _NEXT_RE.match(text, at)
        if match is None:
            return
        yield match
        at = match.end()


_NEXT_RE = re.compile(r"[ ]([^\W\d_]{1,20})(?![\w])")


def closed(view: View, text: str) -> list[Found]:
    """Every capitalised word that is not known to be none: for those who would rather lose a word than a name."""
    found: list[Found] = []
    for run in _RUN_RE.finditer(text):
        for word in _WORD_RE.finditer(text, run.start(), run.end()):
            plain = view.flat[word.start() : word.end()]
            if plain in NO_NAME or not word[0][0].isupper():
                continue
            if _begins_sentence(text, word.start()) and plain not in gazetteer.WESTERN_FIRST:
                continue
            found.append(_name(view, *word.span()))
    return found
