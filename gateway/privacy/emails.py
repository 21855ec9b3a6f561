"""E-mail addresses, also those that are broken over lines or spelled out ("nam chấm tran a còng gmail chấm com")."""

import re
from collections.abc import Sequence

from gateway.privacy import vocabulary as words
from gateway.privacy.found import EMAIL, PHONE, Found
from gateway.privacy.phones import canonical_phone
from gateway.privacy.view import View
from gateway.privacy.vocabulary import Hit

# RFC 5322, 3.2.3 (atext), with letters of any language (RFC 6531).
_ATOM = r"[\w.!#$%&'*+/=?^`{|}~-]"
_EMAIL_RE = re.compile(rf"(?<!{_ATOM}){_ATOM}++@[\w-]++(?:\.[\w-]++)++")
_TOP = (
    r"(?:com|net|org|vn|info|edu|gov|io|co|me|biz|de|fr|uk|eu|es|it|nl|pl|cz|se|no|dk|fi|at|ch|be|pt|ru|jp|kr|cn|sg|us|ca|au|"
    r"dev|app)"
)
# A line break, or a space on one side of a sign, in an address whose end is one that exists.
_BROKEN_RE = re.compile(
    rf"(?<!{_ATOM}){_ATOM}++(?:[ \t]?\r?\n?[ \t]?)@(?:[ \t]?\r?\n?[ \t]?)"
    rf"[\w-]++(?:\s?\.\s?[\w-]++){{0,3}}\s?\.\s?{_TOP}(?!\w)",
    re.IGNORECASE,
)
_DOT = r"(?: ?\. ?| ?[(\[{<] ?(?:dot|cham) ?[)\]}>] ?| dot | cham | ?, ?)"
_JOINT = rf"(?:{_DOT}| gach duoi | underscore | gach ngang | dash | ?_ ?| ?- ?)"
_PROVIDER_NAMES = "gmail yahoo hotmail outlook icloud proton protonmail".split()
_PROVIDERS = rf"(?:{'|'.join(_PROVIDER_NAMES)})"
_LABEL = r"[a-z0-9_-]{1,40}"
# In lower case without accents, with its signs; before and after the word or sign for @.
_LOCAL_RE = re.compile(rf"(?<![a-z0-9])(?:[a-z0-9]{{1,40}}{_JOINT}){{0,5}}[a-z0-9_]{{1,40}} ?[(\[{{<]? ?\Z")
_DOMAIN_RE = re.compile(
    rf" ?[)\]}}>]? ?(?:(?:{_LABEL}{_DOT}){{1,3}}?{_TOP}(?:{_DOT}{_TOP})?(?![a-z0-9])|{_PROVIDERS}(?![a-z0-9]))"
)
_LOCAL_CHARS_MAX = 64
_PROVIDER_RE = re.compile(_PROVIDERS)
_DOT_RE = re.compile(_DOT)
_NEXT_LABEL_RE = re.compile(r" {1,3}([a-z0-9_]{1,40})")
_DOT_WORD_RE = re.compile(r" {1,3}(?:dot|cham)(?= )|-")
_SIGN_RE = re.compile("@")
_SIGNS = str.maketrans("", "", " \n\t\r()[]{}<>")
_DIGIT_OF = {
    **{word: str(value) for value, word in enumerate("khong mot hai ba bon nam sau bay tam chin".split())},
    **{word: str(value) for value, word in enumerate("zero one two three four five six seven eight nine".split())},
    "tu": "4",
    "lam": "5",
    "oh": "0",
}
_DIGIT = "|".join(_DIGIT_OF)
_DIGIT_WORDS_MIN = 8
_SPELLED_NUMBER_RE = re.compile(rf"(?<!\S)(?:(?:{_DIGIT}|[0-9]{{1,4}}) {{1,3}}){{7,18}}(?:{_DIGIT}|[0-9]{{1,4}})(?!\S)")


def emails(text: str) -> list[Found]:
    """Addresses with an @."""
    found = [_email(match) for match in _EMAIL_RE.finditer(text)]
    if not found or text.count("@") > len(found):
        found += [_email(match) for match in _BROKEN_RE.finditer(text)]
    return found


def _email(match: re.Match[str]) -> Found:
    return Found(*match.span(), EMAIL, match[0].translate(_SIGNS).lower())


def spelled(view: View, text: str, hits: Sequence[Hit], region: str) -> list[Found]:
    """Addresses and phone numbers in words. They are looked for only where such words are."""
    found: list[Found] = []
    groups = 0
    digits = 0
    for hit in hits:
        groups |= hit.groups
        digits += bool(hit.groups & words.DIGIT)
    if groups & words.AT or "@" in text:
        found += _spelled_emails(view, text, hits)
    if digits >= _DIGIT_WORDS_MIN // 2:
        for match in _SPELLED_NUMBER_RE.finditer(view.flat):
            number = "".join(_DIGIT_OF.get(word, word) for word in match[0].split())
            found.append(Found(*match.span(), PHONE, canonical_phone(number, region)))
    return found


def _spelled_emails(view: View, text: str, hits: Sequence[Hit]) -> list[Found]:
    ats = [(hit.start, hit.end) for hit in hits if hit.groups & words.AT and _is_before_domain(view, text, hit.end)]
    ats += [match.span() for match in _SIGN_RE.finditer(text)]
    if not ats:
        return []
    # Letters from the flat form, signs from the text: both have the same length.
    signed = "".join(
        letter if letter != " " and sign != "\0" else sign if sign.isascii() else " "
        for letter, sign in zip(view.flat, text, strict=True)
    )
    found: list[Found] = []
    for start, end in ats:
        domain = _DOMAIN_RE.match(signed, end)
        local = _LOCAL_RE.search(signed, max(0, start - _LOCAL_CHARS_MAX), start) if domain else None
        if domain and local and not _is_place(signed[start:end], domain[0]):
            canonical = f"{_spoken(local[0])}@{_spoken(domain[0])}"
            found.append(Found(local.start(), domain.end(), EMAIL, canonical))
    return found


def _is_before_domain(view: View, text: str, at: int) -> bool:
    """Whether what follows may be a domain: most words "at" are not before one, and this is quickly seen."""
    label = _NEXT_LABEL_RE.match(view.flat, at)
    if label is None:
        return False
    end = label.end()
    return text[end : end + 1] == "." or label[1] in _PROVIDER_NAMES or _DOT_WORD_RE.match(view.flat, end) is not None


def _is_place(at: str, domain: str) -> bool:
    """Whether it is "our shop at example.com": the word for @, and a domain that is not spelled and not a mailbox's."""
    return at == "at" and domain[0] == " " and "." in domain and _PROVIDER_RE.search(domain) is None


def _spoken(part: str) -> str:
    return _DOT_RE.sub(".", part).translate(_SIGNS)
