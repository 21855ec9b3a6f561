"""In which language a question is asked. English, unless its words are Vietnamese."""

import re
from collections.abc import Sequence
from typing import Literal, get_args

Language = Literal["en", "vi"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

# Letters that Vietnamese has and that English, and the names and loan words in it, do not: those with a horn, a breve
# or a stroke, and those with two marks or a hook or dot (Unicode, "Latin Extended Additional").
_MARKED_RE = re.compile(r"\w*[ăđơư\u1ea0-\u1ef9]\w*", re.IGNORECASE)
# Frequent words as they are written without marks. None of them is an English word.
_FREQUENT = frozenset(
    "anh bao boi cac chua chung cho chuyen cua da dau duoc em gi giao hang hoan khach khi khong khoan la lai lan lau "
    "minh mot nao ngay nhan nhu nhung o qua roi sao so tai tao tien thanh the thi toan toi tra tru trang truoc tuan va "
    "ve vi voi xin hai bi".split()
)
_ENGLISH = frozenset(
    "a about and are be but did do does for from get has have how i is it my no not of on or order paid payment please "
    "refund so still that the this to was we what when where which who why will with you your".split()
)
_WORDS_MIN = 2


def language_of(text: str, spoken: Sequence[str]) -> Language:
    """The language of a text, of which `spoken` are the folded words."""
    marked = len(_MARKED_RE.findall(text))
    vietnamese = marked + sum(word in _FREQUENT for word in spoken)
    is_vietnamese = vietnamese >= _WORDS_MIN and vietnamese > sum(word in _ENGLISH for word in spoken)
    return "vi" if is_vietnamese else "en"
