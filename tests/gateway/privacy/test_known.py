"""Known subjects are found in whatever way their names and numbers are written."""

import unicodedata

import pytest

from domain.tenant_settings import PrivacySettings
from gateway.privacy import KnownSubjects, Scrubber

SCRUBBER = Scrubber("acme", b"k" * 32, PrivacySettings(names="known"))
AN = KnownSubjects(
    names=["Nguyễn Văn Tuấn Án"],
    phones=["+84 912 345 678"],
    accounts=["VN-00710001"],
    emails=["tuan.an@example.com"],
    addresses=["12 ngõ 5, Xã Đàn"],
)


@pytest.mark.parametrize(
    "mention",
    [
        "Nguyễn Văn Tuấn Án",
        "nguyen van tuan an",
        "NGUYỄN VĂN TUẤN ÁN",
        "Án Nguyễn",
        "Nguyễn Án",
        "Tuấn Án",
        "N.V.T.A",
        "NVTA",
        "N. V. T. Án",
        "nguyenvantuanan",
        "Nguyễn  Văn\nTuấn   Án",
        unicodedata.normalize("NFD", "Nguyễn Văn Tuấn Án"),
        "Ng\u200buyễn Văn Tuấn Án",
        "Án",
    ],
)
def test_a_known_name_is_found_in_every_form_and_has_one_token(mention: str) -> None:
    whole = SCRUBBER.token("NAME", "nguyen van tuan an")

    assert SCRUBBER.scrub(f"đơn của {mention} đâu rồi", AN).text == f"đơn của {whole} đâu rồi"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("số 0 9 1 2 3 4 5 6 7 8 đó", "PHONE"),
        ("912345678 đó", "PHONE"),
        ("vn 00710001 đó", "ACCOUNT"),
        ("00710001 đó", "ACCOUNT"),
        ("TUAN.AN@example.com đó", "EMAIL"),
        ("nhà 12, ngõ 5 xã đàn đó", "ADDRESS"),
    ],
)
def test_known_numbers_and_addresses_are_found_without_any_cue(text: str, kind: str) -> None:
    assert list(SCRUBBER.scrub(text, AN).counts) == [kind]


@pytest.mark.parametrize(
    "text", ["an toàn nhé", "án phí là bao nhiêu", "nvta", "900.912.000 và 345.678 đồng", "1234567"]
)
def test_words_and_numbers_that_are_nobodys_stay(text: str) -> None:
    assert SCRUBBER.scrub(text, AN).text == text


def test_nobody_known_is_nobody_found() -> None:
    assert SCRUBBER.scrub("Nguyễn", KnownSubjects(names=["", "  "], phones=["12"])).counts == {}
