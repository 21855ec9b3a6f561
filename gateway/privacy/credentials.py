"""Secrets: API keys by their issuers' prefixes, tokens, private keys, passwords, credentials in URLs.

RE2 runs the many alternatives in one pass whose time does not depend on their number.
"""

import re
from collections.abc import Sequence

import re2

from gateway.privacy import vocabulary as words
from gateway.privacy.found import SECRET, Found
from gateway.privacy.view import View
from gateway.privacy.vocabulary import Hit

# The prefixes are from the issuers' own documentation (Stripe, AWS, GitHub, GitLab, Slack, Google, SendGrid, OpenAI,
# Anthropic, npm, PyPI, Hugging Face, DigitalOcean, Shopify, Twilio, Telegram), JWT from RFC 7519, PEM from RFC 7468.
_ISSUED = r"""
(?:sk|rk|pk)_(?:live|test)_[0-9A-Za-z]{8,250}
whsec_[0-9A-Za-z+/=]{12,250}
(?:pi|seti)_[0-9A-Za-z]+_secret_[0-9A-Za-z]+
(?:AKIA|ASIA|AIDA|AROA)[0-9A-Z]{16}
gh[pousr]_[0-9A-Za-z]{20,250}
github_pat_[0-9A-Za-z_]{20,250}
gl(?:pat|ptt|dt|rt)-[0-9A-Za-z_-]{16,64}
xox[abeoprs]-[0-9A-Za-z-]{10,250}
AIza[0-9A-Za-z_-]{30,45}
ya29\.[0-9A-Za-z_-]{16,500}
GOCSPX-[0-9A-Za-z_-]{16,64}
SG\.[0-9A-Za-z_-]{16,64}\.[0-9A-Za-z_-]{16,64}
sk-(?:ant-|proj-|svcacct-)?[0-9A-Za-z_-]{16,250}
npm_[0-9A-Za-z]{30,64}
pypi-[0-9A-Za-z_-]{40,250}
hf_[0-9A-Za-z]{30,64}
do[opr]_v1_[0-9a-f]{40,80}
shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}
(?:SK|AC)[0-9a-f]{32}
[0-9]{8,10}:AA[0-9A-Za-z_-]{30,40}
eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{6,}(?:\.[0-9A-Za-z_-]*)?
"""
_PEM = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[^-]|-[^-])*(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
_KEY_RE = re2.compile(rf"{_PEM}|\b(?:{'|'.join(_ISSUED.split())})")
# None of them is shorter.
_KEY_CHARS_MIN = 16
# The value of a parameter that is named as a secret, in whatever syntax: TOML, JSON, a URL's query, a header.
_NAMED = """password passwd pwd secret client_secret api[_-]?key access[_-]?key access[_-]?token auth[_-]?token token
secret[_-]?access[_-]?key secret[_-]?key private[_-]?key refresh[_-]?token session[_-]?id session[_-]?token accountkey
signature sig"""
_NAME_PARTS = ("pass", "pwd", "secret", "key", "token", "session", "sig")
_NAMED_RE = re2.compile(
    rf"""(?i)\b(?:{"|".join(_NAMED.split())})["']?\s{{0,2}}[=:]\s{{0,2}}["']?([^\s"'&,;<>\x00]{{4,500}})"""
)
_BEARER_RE = re2.compile(r"(?i)\b(?:bearer|basic)\s+([0-9A-Za-z+/_.~=-]{16,1000})")
# RFC 3986, 3.2.1.
_URL_RE = re2.compile(r"[A-Za-z][0-9A-Za-z+.-]{1,20}://([^\s/@:\x00]{0,100}:[^\s/@\x00]{1,300})@")
# After a word alone, a value is what no word is: with a digit or a sign in it, and a letter too behind other words.
_AFTER_CUE_RE = re.compile(
    r"\s{0,2}(?:[:=]\s{0,2}|(?:is|là|la)\s+)?[\"'`]?((?=[^\s\"'`]{0,40}?[0-9@#$%!^&*])[^\s\"'`,;<>\0]{4,64})"
    r"|(?:\s[^\W\d_]{1,9}){1,4}:?\s[\"'`]?((?=[^\s\"'`]{0,40}?[0-9])(?=[^\s\"'`]{0,40}?[A-Za-z])[^\s\"'`,;<>\0]{5,64})"
)
_TRAILING = ".,;:)]}\"'"


def credentials(view: View, text: str) -> list[Found]:
    """Keys, tokens and URL credentials in the text, the view's with blanks where something was found."""
    found: list[Found] = []
    if "-----" in text or max(map(len, text.split()), default=0) >= _KEY_CHARS_MIN:
        found += [Found(match.start(), match.end(), SECRET, match[0]) for match in _KEY_RE.finditer(text)]
    if (":" in text or "=" in text) and any(part in view.flat for part in _NAME_PARTS):
        found += [_value(match.start(1), match[1]) for match in _NAMED_RE.finditer(text)]
    if "://" in text:
        found += [_value(match.start(1), match[1]) for match in _URL_RE.finditer(text)]
    return found


def cued_credentials(text: str, hits: Sequence[Hit]) -> list[Found]:
    """What follows a word for a password or a key."""
    cues = [hit for hit in hits if hit.groups & words.KEY]
    if not cues:
        return []
    found = [_value(match.start(1), match[1]) for match in _BEARER_RE.finditer(text)]
    for cue in cues:
        match = _AFTER_CUE_RE.match(text, cue.end)
        if match:
            which = 1 if match[1] is not None else 2
            found.append(_value(match.start(which), match[which]))
    return found


def _value(start: int, value: str) -> Found:
    kept = value.rstrip(_TRAILING) or value
    return Found(start, start + len(kept), SECRET, kept)
