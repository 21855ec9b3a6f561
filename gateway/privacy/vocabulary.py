"""The words that say what stands beside them, found in one pass over a text whatever their number (Aho-Corasick).

Phrases are kept without accents and in lower case, as people type them on a phone.
"""

from collections.abc import Iterable
from typing import NamedTuple

import ahocorasick

from gateway.privacy import gazetteer
from gateway.privacy.view import flat

# What a phrase is, one bit each: a word may be several things.
ORDER, PHONE, PHONE_WEAK, ACCOUNT, ACCOUNT_WEAK, BANK, NATIONAL_ID, TAX, SSN, PASSPORT, LICENCE, CODE = (
    1 << bit for bit in range(12)
)
INTRO, INTRO_WEAK, TITLE, VI_TITLE, VI_FAMILY, FIRST, LAST = (1 << bit for bit in range(12, 19))
ADDRESS_INTRO, VI_PLACE, DIGIT, KEY, AT, MONEY, ADDRESS_WEAK, ZIP, STREET, STREET_SHORT, UNIT, CITY = (
    1 << bit for bit in range(19, 31)
)
NUMBER_CUES = (
    ORDER
    | PHONE
    | PHONE_WEAK
    | ACCOUNT
    | ACCOUNT_WEAK
    | BANK
    | NATIONAL_ID
    | TAX
    | SSN
    | PASSPORT
    | LICENCE
    | CODE
    | MONEY
    | ZIP
)

_PHRASES = {
    ORDER: (
        "order|orders|order number|order no|order id|invoice|invoice number|invoice no|booking|ticket|case|"
        "tracking|tracking number|reference|ref|transaction|transaction id|don|don hang|ma don|ma don hang|"
        "ma van don|van don|ma giao dich|giao dich|hoa don|ma hoa don|isbn|serial|version|sku|imei|ma the cao|"
        "product|model|part number"
    ),
    PHONE: (
        "phone|phone number|phone no|telephone|mobile|mobile number|cell|cell number|cellphone|whatsapp|sdt|so dt|"
        "dt|sdt zalo|dien thoai|so dien thoai|di dong|so di dong|hotline|fax|viber|contact number|phone nr|so zalo|"
        "sodt|so phone|tel no|call back number|callback number|handy|telefon"
    ),
    PHONE_WEAK: (
        "tel|call|call me|call us|reach me|reach us|reach you|ring|ring me|text|text me|sms|zalo|goi|goi lai|"
        "goi cho em|lien he|lien lac|alo|so may|answering at|answering|goi so|nhan tin|contact|contact me"
    ),
    ACCOUNT: (
        "stk|so tai khoan|so tk|sotk|tai khoan so|account number|account no|acct|acct no|acc no|bank account|iban|"
        "bank account number|bank acct|tk so|tk ngan hang|tai khoan ngan hang|account nr|routing number|so the|"
        "stknh|routing|aba|sort code|kontonummer|beneficiary account|account number is"
    ),
    ACCOUNT_WEAK: (
        "tai khoan|tk|account|acc|a c|chuyen khoan|ck vao|ck qua|chuyen vao|chuyen khoan vao|chuyen tien vao|"
        "chuyen cho|chuyen den|ngan hang|nh|bank|nhan tien"
    ),
    BANK: (
        "vietcombank|vcb|techcombank|tcb|mb|mbbank|mb bank|acb|bidv|vietinbank|vtb|ctg|agribank|agri|sacombank|stb|"
        "vpbank|vpb|tpbank|tpb|hdbank|shb|ocb|msb|vib|eximbank|scb|seabank|lienvietpostbank|lpbank|namabank|abbank|"
        "bacabank|pvcombank|timo|cake|techcom|vietcom"
    ),
    NATIONAL_ID: (
        "cccd|cmnd|cmt|cmtnd|so cccd|so cmnd|so cmt|can cuoc|can cuoc cong dan|chung minh|chung minh nhan dan|"
        "chung minh thu|so dinh danh|dinh danh|dinh danh ca nhan|id card|identity card|national id|citizen id|"
        "identity number|id number|bhxh|so bhxh|bao hiem xa hoi|bao hiem y te|bhyt|cccd gan chip"
    ),
    TAX: "mst|ma so thue|ma thue|tax code|tax id|tax number|tin|vat|vat number|vat id|ein|mst ca nhan|itin|tax no",
    SSN: "ssn|social security|social security number|social security no|ss number|social insurance number",
    PASSPORT: "passport|passport number|passport no|ho chieu|so ho chieu",
    LICENCE: (
        "driver license|drivers license|driver s license|driving licence|driving license|driver s licence|"
        "dl number|driver s license number|bang lai|bang lai xe|giay phep lai xe|gplx|so gplx|license number|"
        "licence number"
    ),
    CODE: (
        "otp|ma otp|pin|ma pin|cvv|cvc|ma cvv|so cvv|security code|passcode|verification code|ma xac nhan|ma xac thuc"
    ),
    MONEY: "so tien|so du|amount|balance|gia|phi|fee|tong|total|price|hoan|bi tru|tru|nap|rut|charged",
    INTRO: (
        "my name is|name is|my name s|toi ten|toi ten la|em ten|em ten la|minh ten|minh ten la|ten toi la|"
        "ten em la|ten minh la|ten la|ten toi|ho ten|ho va ten|ho ten la|ten nguoi nhan|nguoi nhan|nguoi nhan la|"
        "nguoi gui|chu tai khoan|chu tai khoan la|chu tk|ctk|ten tai khoan|ten chu tai khoan|ten chu tk|"
        "ten khach hang|ten kh|khach hang|account holder|cardholder|card holder|cardholder name|recipient|"
        "full name|name|call me|calls me|people call me|called|chau ten|chau ten la|con ten|ten tren the|"
        "ten day du|nguoi thu huong|thu huong|named|my full name is|beneficiary|first name|last name|surname|"
        "maiden name|maiden name is|name on the account|partner s name|wife s name|husband s name|change it to|"
        "correct it to|ten nguoi gui|nguoi mua|ten"
    ),
    INTRO_WEAK: (
        "i am|this is|toi la|em la|minh la|chau la|day la|dear|hi|hello|hey|regards|best regards|kind regards|"
        "sincerely|attn|attention|ship to|deliver to|sent by|signed|signed by|gui cho|toi gap|chao|xin chao|said|"
        "says|told|ask for|speak to|speak with|talk to|nguoi ten|directed by|contact|gap|cua|cho"
    ),
    TITLE: "mr|mrs|ms|miss|mx|dr|prof|professor|sir|madam|herr|frau|monsieur|madame|senor|senora|signor|signora",
    VI_TITLE: "anh|chi|co|chu|bac|ong|ba|cau|thay|di|em|chau|ban|sep|be",
    ADDRESS_INTRO: (
        "address|address is|my address|address to|new address is|dia chi|dia chi la|dia chi nhan hang|d c|dc|"
        "giao den|giao toi|giao hang den|giao hang toi|ship ve|ship den|ship toi|gui ve|gui den|ship to|deliver to|"
        "lives at|live at|living at|o tai|nha o|nha em o|nha toi o|thuong tru|tam tru|noi o|ho khau|sent to|"
        "send to|taxi to|return to|located at|office is at|reside at|address of|shipping address|billing address|"
        "delivery address|moved to|que quan|giao ve|nhan hang tai|em o|minh o|toi o"
    ),
    ADDRESS_WEAK: "following|same|in|at|is at|to|and",
    STREET: "street|avenue|road|lane|boulevard|drive|court|square|terrace|crescent|parkway|highway|rd|ave|blvd",
    STREET_SHORT: (
        "st|ln|dr|ct|place|pl|sq|pkwy|hwy|close|circle|trail|way|row|grove|gardens|hill|walk|mews|apt|suite|unit|rua|"
        "rue|via|calle|avenida|piazza|plaza|corso|viale|allee|chemin|quai|ulica|ul|carrer|travessa|largo|strada|"
        "bulevardul|utca|ut|cesta"
    ),
    CITY: (
        "hcm|ho chi minh|ha noi|hn|sai gon|sg|da nang|can tho|hai phong|hue|bien hoa|nha trang|da lat|vung tau|"
        "binh duong|dong nai|viet nam|vn"
    ),
    UNIT: "apt|apartment|suite|ste|can ho|box|postfach|hop thu",
    ZIP: "zip|zip code|postal code|postcode|post code|ma buu dien|ma buu chinh|plz",
    VI_PLACE: (
        "duong|pho|ngo|ngach|hem|kiet|thon|xom|ap|to dan pho|khu pho|phuong|quan|huyen|thi xa|thi tran|tinh|"
        "thanh pho|tp|tp hcm|tphcm|sai gon|chung cu|toa nha|khu do thi|kdt|kcn|so nha|quoc lo|dai lo|xa|p|q|so"
    ),
    DIGIT: "khong|mot|hai|ba|bon|tu|nam|lam|sau|bay|bẩy|tam|chin|zero|oh|one|two|three|four|five|six|seven|eight|nine",
    KEY: (
        "password|mat khau|mk|pass|passwd|api key|apikey|secret|secret key|access token|access key|token|api token|"
        "client secret|private key|bearer|authorization|seed phrase|pwd|mat khau la"
    ),
    AT: "a cong|acong|a moc|a vong|at",
}


class Hit(NamedTuple):
    """Where a phrase stands in a view, and what it is."""

    start: int
    end: int
    groups: int


def _entries() -> dict[str, int]:
    entries: dict[str, int] = {}
    listed: list[tuple[int, Iterable[str]]] = [(group, phrases.split("|")) for group, phrases in _PHRASES.items()]
    listed += [
        (VI_FAMILY, gazetteer.VIETNAMESE_FAMILY),
        (FIRST, gazetteer.WESTERN_FIRST),
        (LAST, gazetteer.WESTERN_LAST),
    ]
    for group, phrases in listed:
        for phrase in phrases:
            plain = flat(phrase)
            entries[plain] = entries.get(plain, 0) | group
    return entries


def _automaton() -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for phrase, groups in _entries().items():
        automaton.add_word(f" {phrase} ", (len(phrase), groups))
    automaton.make_automaton()
    return automaton


_AUTOMATON = _automaton()


def hits(flat_text: str) -> list[Hit]:
    """Every phrase in a flat text, by where it ends, the longer of two that end together first."""
    # One space before the text shifts it by one, and the match ends behind the space after the phrase.
    return [Hit(last - 1 - length, last - 1, groups) for last, (length, groups) in _AUTOMATON.iter(f" {flat_text} ")]
