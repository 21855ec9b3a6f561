"""Vietnamese postal addresses: number, street, ward, district, province, in this order and each optional."""

import re
from collections.abc import Iterator, Sequence

from gateway.privacy import vocabulary as words
from gateway.privacy.found import ADDRESS, Found
from gateway.privacy.view import UPPER, View
from gateway.privacy.vocabulary import Hit

_STREET = (
    r"đường|duong|đ\.|phố|pho|ngõ|ngo|ngách|ngach|hẻm|hem|kiệt|kiet|thôn|thon|xóm|xom|ấp|khu phố|khu pho|tổ dân phố|tổ|"
    r"chung cư|chung cu|tòa nhà|toà nhà|toa nha|kđt|khu đô thị|kcn|quốc lộ|đại lộ"
)
_AREA = (
    r"phường|phuong|p\.?|quận|quan|q\.?|huyện|huyen|h\.|xã|xa|thị xã|thi xa|thị trấn|thi tran|tt\.|tx\.|thành phố|"
    r"thanh pho|tp\.?|tỉnh|tinh"
)
_PLACE = rf"(?:{_STREET}|{_AREA})"
# Inside a street's name, a capital makes "Kiệt" or "Tĩnh" a part of it.
_NEXT_PLACE = rf"(?:(?-i:{_STREET}|{_AREA}|Đường|Duong|Phường|Phuong|Quận|Quan|Huyện|Huyen|Xã|Thành|TP|T\.P|P|Q)(?!\w))"
# Where a name in lower case ends.
_STOP = (
    r"(?-i:nhé|nhe|nha|ạ|giúp|giup|cho|với|voi|ơi|oi|em|anh|chị|chi|shop|và|va|là|la|lần|lan|nhanh|được|duoc|gấp|gap|"
    r"sđt|sdt|số|so|đt|điện|dien|trước|truoc|nhận|nhan|giao|hàng|hang|tên|ten|không|khong|ko|ngày|ngay|tiền|"
    r"tien|triệu|nghìn|k|đơn|don|tháng|thang|năm|giờ|gio|phút|của|cua|bị|bi|để|rồi|roi|ở|o|tại|tai|từ|tu|đến|"
    r"den|người|nguoi|mình|minh|tôi|toi|\w*\d\w*)"
)
_WORD = rf"(?!{_NEXT_PLACE}|{_STOP}(?!\w))[^\W\d_]{{1,10}}"
# Capitals in an expression that ignores case otherwise.
_CAPITALS = rf"(?-i:[{UPPER}][\w.]{{0,12}}(?:[ -][{UPPER}][\w.]{{0,12}}){{0,4}})"
_VALUE = (
    rf"(?:(?:số )?[0-9]{{1,4}}(?:/[0-9]{{1,4}}){{0,3}}[A-Za-z]?(?!\w)(?:,? (?!{_NEXT_PLACE}){_CAPITALS})?"
    rf"|{_WORD}(?:[ -]{_WORD}){{0,4}}(?: [0-9]{{1,2}}(?!\w))?)"
)
_SEGMENT = rf"(?<!\w){_PLACE}[ .]{{0,2}}(?<=[ .0-9pqPQ]){_VALUE}"
_NUMBER = (
    r"(?<![\w/.,-])(?:(?:số nhà|số|so nha|so|sn|nhà số|nha so) )?[0-9]{1,4}[A-Za-z]?(?:[/-][0-9]{1,4}[A-Za-z]?){0,4}"
)
_WORDS = rf"(?!{_NEXT_PLACE}|{_STOP}(?!\w))[\w/]{{1,10}}(?: (?!{_NEXT_PLACE}|{_STOP}(?!\w))[\w/]{{1,10}}){{0,4}}"
_CITIES = (
    r"hcm|hồ chí minh|ho chi minh|hà nội|ha noi|hn|sài gòn|sai gon|sg|đà nẵng|da nang|cần thơ|can tho|hải phòng|"
    r"hai phong|huế|hue|biên hòa|bien hoa|nha trang|đà lạt|da lat|vũng tàu|vung tau|bình dương|binh duong|"
    r"đồng nai|dong nai|việt nam|viet nam|vn"
)
_CITY = rf"(?:,? ?(?:-? ?)(?:tp\.? ?)?(?:{_CITIES})(?!\w))"
_ADDRESS_RE = re.compile(
    rf"(?P<number>{_NUMBER},? ?)?(?(number)(?P<street>{_WORDS},? ?)?)"
    rf"(?P<first>{_SEGMENT})(?P<rest>(?:[ ,.\n-]{{1,3}}{_SEGMENT}){{0,7}})"
    rf"(?P<city>(?:{_CITY}|, ?(?!{_NEXT_PLACE}){_CAPITALS}){{0,4}})",
    re.IGNORECASE,
)
# Number, street and city, without any word for either.
_BARE_RE = re.compile(rf"{_NUMBER} {_WORDS}(?:, {_WORDS}){{0,3}}?{_CITY}{{1,3}}", re.IGNORECASE)
_NUMBER_RE = re.compile(_NUMBER, re.IGNORECASE)
_STREET_RE = re.compile(rf"(?:{_STREET})(?!\w)", re.IGNORECASE)
_CAPITAL_OR_DIGIT_RE = re.compile(rf"[{UPPER}0-9]")
_BEFORE_CHARS_MAX = 64
_PARTS_SURE = 3
_NUMBERS_BEFORE_MAX = 4


def vietnamese_addresses(view: View, text: str, hits: Sequence[Hit]) -> Iterator[Found]:
    """Addresses in which a word for a street or an area stands, and those with a number, a street and a city."""
    places = [hit for hit in hits if hit.groups & words.VI_PLACE]
    end = 0
    for hit in places:
        if hit.start < end:
            continue
        for start in _starts(text, max(end, hit.start - _BEFORE_CHARS_MAX), hit.start):
            match = _ADDRESS_RE.match(text, start) or _BARE_RE.match(text, start)
            if match and match.end() > hit.start and _is_address(match):
                end = match.end()
                yield Found(start, end, ADDRESS, " ".join(view.flat[start:end].split()))
                break


def _starts(text: str, low: int, high: int) -> Iterator[int]:
    """Where an address may begin whose first place word is at `high`: at a number before it, or there."""
    yield from [match.start() for match in _NUMBER_RE.finditer(text, low, high)][-_NUMBERS_BEFORE_MAX:]
    yield high


def _is_address(match: re.Match[str]) -> bool:
    groups = match.groupdict()
    if "first" not in groups:
        return True
    parts = 1 + len(_SEGMENT_RE.findall(groups["rest"])) + bool(groups["city"])
    has_number = groups["number"] is not None
    if has_number and (groups["street"] or _STREET_RE.match(groups["first"])):
        return True
    # One word such as "quan" is many things in Vietnamese without accents: two parts, or capitals, are an address.
    return parts > 1 and (parts >= _PARTS_SURE or _CAPITAL_OR_DIGIT_RE.search(match[0]) is not None)


_SEGMENT_RE = re.compile(_SEGMENT, re.IGNORECASE)
