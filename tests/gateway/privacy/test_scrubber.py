"""Tokens: the same for every spelling of a value in one tenant, another in the next; the rest of a text untouched."""

import re
import unicodedata
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tenant_settings import Names, PrivacySettings
from gateway.privacy import Scrubber
from gateway.privacy.found import TYPES

TOKEN = re.compile(r"<([A-Z_]+)_[0-9a-f]{4}>")


def scrubber(tenant: str = "acme", *, key: bytes = b"k" * 32, names: Names = "known+gazetteer") -> Scrubber:
    return Scrubber(tenant, key, PrivacySettings(names=names))


def typed(text: str, names: Names = "known+gazetteer") -> str:
    """The scrubbed text with only the types of its tokens."""
    return TOKEN.sub(lambda token: f"<{token[1]}>", scrubber(names=names).scrub(text).text)


def zero_width(text: str) -> str:
    return "\u200b".join(text)


def full_width(text: str) -> str:
    return text.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})


def test_a_token_says_the_type_and_nothing_of_the_value() -> None:
    scrubbed = scrubber().scrub("gọi 0912 345 678 hoặc 0987654321, mail nam@example.vn")

    assert TOKEN.sub("?", scrubbed.text) == "gọi ? hoặc ?, mail ?"
    assert scrubbed.counts == {"PHONE": 2, "EMAIL": 1}


@pytest.mark.parametrize(
    "spellings",
    [
        ["0912 345 678", "+84 912 345 678", "(+84)912.345.678", "0084912345678", "84912345678", "0912-345-678"],
        ["nam.tran@gmail.com", "Nam.Tran@Gmail.com", "nam chấm tran a còng gmail chấm com", "nam.tran@\ngmail.com"],
        ["4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", full_width("4111111111111111")],
        ["DE89 3704 0044 0532 0130 00", "de89370400440532013000"],
        ["2001:db8::ff00:42:8329", "2001:0db8:0000:0000:0000:ff00:0042:8329"],
        ["00:1A:2B:3C:4D:5E", "00-1a-2b-3c-4d-5e"],
        ["Tôi tên là Nguyễn Văn An", "tôi tên là nguyễn văn an", "toi ten la nguyen van an", "Anh Nguyen Van An"],
    ],
)
def test_every_spelling_of_a_value_has_one_token(spellings: list[str]) -> None:
    tokens = [token[0] for spelling in spellings for token in TOKEN.finditer(scrubber().scrub(f"{spelling} .").text)]

    assert len(tokens) == len(spellings)
    assert len(set(tokens)) == 1


def test_two_tenants_have_different_tokens_for_the_same_value_even_with_one_key() -> None:
    values = [f"09{number:08}" for number in range(1_000, 1_040)]
    of_acme, of_globex = ([scrubber(name).scrub(value).text for value in values] for name in ("acme", "globex"))

    assert sum(1 for one, other in zip(of_acme, of_globex, strict=True) if one == other) <= 1


def test_another_key_gives_another_token() -> None:
    assert scrubber().scrub("0912345678") != scrubber(key=b"other" * 8).scrub("0912345678")


def test_one_digits_are_no_two_types() -> None:
    assert scrubber().token("PHONE", "0912345678")[6:] != scrubber().token("ACCOUNT", "0912345678")[8:]


HIDDEN = [
    ("sđt em là {}", "0912345678", "PHONE"),
    ("cccd {}", "001099012345", "NATIONAL_ID"),
    ("cmnd: {}", "012345678", "NATIONAL_ID"),
    ("my ssn is {}", "219-09-9999", "SSN"),
    ("stk {} vietcombank", "0071000123456", "ACCOUNT"),
    ("số tài khoản của em là: {}", "19036512345678", "ACCOUNT"),
    ("mst {}", "0312345678-001", "TAX"),
    ("thẻ {}", "9704000000000018", "CARD"),
    ("từ ip {}", "203.0.113.7", "IP"),
    ("máy {}", "00:1a:2b:3c:4d:5e", "MAC"),
    ("hộ chiếu {}", "C1234567", "PASSPORT"),
    ("mail {}", "nam.tran+shop@example.com.vn", "EMAIL"),
    ("trả về {}", "DE89370400440532013000", "IBAN"),
    ("người nhận: {}", "Nguyễn Văn An", "NAME"),
]


@pytest.mark.parametrize("disguise", [str, zero_width, full_width], ids=["plain", "zero-width", "full-width"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("sentence", "value", "kind"), HIDDEN, ids=[kind for _, _, kind in HIDDEN])
def test_a_disguised_value_is_found_and_cut_out_exactly(
    sentence: str, value: str, kind: str, form: Literal["NFC", "NFD"], disguise: type[str]
) -> None:
    before, after = unicodedata.normalize(form, sentence).split("{}")
    hidden = disguise(unicodedata.normalize(form, value))
    text = f"{before}{hidden}{after}, cảm ơn"

    [found] = scrubber().find(text)

    assert (text[found.start : found.end], found.type) == (hidden, kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam at gmail dot com", "<EMAIL>"),
        ("nam[at]gmail[dot]com nhé", "<EMAIL> nhé"),
        ("gọi không chín một hai ba bốn năm sáu bảy tám nha", "gọi <PHONE> nha"),
        ("thẻ 4111 1111\n1111 1111 nhé", "thẻ <CARD> nhé"),
        ("scanned: 4111 11O1 111l 1117", "scanned: 4111 11O1 111l 1117"),
        ("scanned: 4111 1111 1111 lll1", "scanned: <CARD>"),
        ("+84 32.171.30.64 nha", "<PHONE> nha"),
        ("key sk_test_abcdefgh12345678 leaked", "key <SECRET> leaked"),
        ("postgres://shop:hunter2x@db.example.com/a", "postgres://<SECRET>@db.example.com/a"),
        ("?access_token=abcdef123456&x=1", "?access_token=<SECRET>&x=1"),
        ("mật khẩu: Nam12345! nhé", "mật khẩu: <SECRET> nhé"),
        ("otp 123456 không về", "otp <SECRET> không về"),
        ("ship về 45/12 Nguyễn Trãi, phường 7, quận 5, TP.HCM giúp em", "ship về <ADDRESS> giúp em"),
        ("Please ship to 12 Main Street, Springfield.", "Please ship to <ADDRESS>."),
        ("My name is John Smith.", "My name is <NAME>."),
        ("Dr. Anna Müller called", "<NAME> called"),
        ("anh Nam và chị Hoa đã nhận", "anh <NAME> và chị <NAME> đã nhận"),
        ("em tên nguyễn thị hoa ạ", "em tên <NAME> ạ"),
    ],
)
def test_what_is_spelled_broken_or_announced_is_found(text: str, expected: str) -> None:
    assert typed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "đơn hàng 0912345678 của em",
        "mã vận đơn 123456789012",
        "hoàn 1.250.000đ vào tài khoản giúp em",
        "em bị trừ 500000 VND hai lần",
        "phiên bản 10.0.19045 lỗi lúc 10:22:33 ngày 12/11/2025",
        "Visa, Mastercard and PayPal on Monday?",
        "Will May be too late for the refund?",
        "chị ơi em ở tỉnh xa thì phí ship thế nào ạ",
        "reset my password please",
        "một hai ba ngày nữa có hàng không",
        "visit our shop at example.com",
    ],
)
def test_what_is_nobodys_stays(text: str) -> None:
    assert typed(text) == text


def test_known_mode_leaves_names_that_nobody_announced_and_closed_mode_takes_every_capitalised_word() -> None:
    text = "hôm qua Robert thấy Zyxomir ở đó"

    masked = {mode: typed(text, mode) for mode in get_args(Names)}

    assert masked == {
        "known": text,
        "known+gazetteer": "hôm qua <NAME> thấy Zyxomir ở đó",
        "closed": "hôm qua <NAME> thấy <NAME> ở đó",
    }


ANYTHING = st.text(st.sampled_from("0123456789 +-.:()/@_aDEpi\u00a0đ\n\u200b\u0301<>,ôN"), max_size=80)


@given(ANYTHING)
def test_what_is_found_is_in_order_apart_and_of_a_known_type(text: str) -> None:
    end = 0
    for found in scrubber().find(text):
        assert end <= found.start < found.end <= len(text)
        assert found.type in TYPES
        end = found.end


@given(st.text(max_size=60))
def test_any_text_is_scrubbed_and_all_that_was_not_found_is_as_it_was(text: str) -> None:
    found = scrubber().find(text)
    ends = [0, *(each.end for each in found)]
    kept = [text[end:start] for end, start in zip(ends, [*(each.start for each in found), len(text)], strict=True)]

    assert TOKEN.sub("\0", scrubber().scrub(text).text) == "\0".join(kept)
