"""Chat as customers of a Vietnamese shop write it, with every piece of personal data labelled. From a seed."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from simulations import pii_people, pii_values

TEMPLATES = tuple(
    line.strip()
    for line in """
    sđt em là {phone} nhé shop
    Số điện thoại của tôi: {phone}, gọi giờ hành chính giúp
    alo shop gọi lại cho em số {phone} với ạ
    {phone} gọi em số này nha, giao sau 5h chiều
    zalo mình {phone} nha, mình chuyển 350.000đ rồi đó
    Please call me back at {foreign_phone} before Friday
    My number changed, it is {foreign_phone} now, thanks
    liên hệ {phone} hoặc {phone} đều được ạ
    sdt người nhận {phone}, tên {name}
    gửi hóa đơn qua mail {email} giúp mình
    Email của em: {email}, chưa thấy xác nhận đơn hàng
    you can write to {email} or call {foreign_phone}
    đăng nhập bằng {email} mà không được shop ơi
    em thanh toán bằng thẻ {card} bị trừ 2 lần
    My card {card} was charged twice yesterday
    thẻ visa số {card}, hết hạn 05/28, hoàn giúp em 1.200.000 VND
    card number: {card}. Please refund 49.00 EUR
    hoàn tiền về IBAN {iban} giúp tôi
    Please transfer the refund to {iban}, thank you
    em không vào được web từ ip {ip}
    bị chặn đăng nhập, địa chỉ IP {ip} nhé
    thiết bị có mac {mac} không quét được QR
    device {mac} cannot connect to your terminal
    cccd của em {personal_id}, xác minh giúp em với
    Số căn cước công dân: {personal_id}
    mình gửi cccd {personal_id} và sđt {phone} để xác minh
    {personal_id} là số định danh của em ạ
    cmnd cũ là {old_personal_id} nhé
    số CMND {old_personal_id} cấp tại Hà Nội
    my SSN is {ssn}, do you need it for the form?
    Social security number {ssn} for the tax form
    stk {account} {bank} chủ tk {name}
    chuyển lại vào số tài khoản {account} ngân hàng {bank} giúp em
    {bank} {account}, tên {name}, hoàn 250k nha
    tài khoản nhận hoàn tiền của em là {account} ạ
    em ck nhầm vào stk {account} mất rồi, 2 triệu đồng lận
    xuất hóa đơn giúp, MST {tax_code} nhé
    mã số thuế công ty: {tax_code}, giao dịch 12.500.000 đ
    số hộ chiếu {passport} có đặt hàng được không shop
    my passport number is {passport}, please verify me
    em lỡ gửi key {secret} trong nhóm, làm sao đổi ạ
    Our key {secret} leaked, please rotate it
    webhook của bên em dùng {secret} mà vẫn báo lỗi 401
    mật khẩu của em là {password} mà không đăng nhập được
    password: {password} does not work since yesterday
    kết nối bằng postgres://shop:{password}x9@db.example.com/orders bị lỗi
    tôi tên là {name}, đơn hàng từ hôm qua chưa giao
    Tên em là {name}, sđt {phone}
    người nhận: {name}, {phone}, {address}
    My name is {western_name} and I still wait for my refund
    Chào shop, mình là {name}, đơn 20231104 của mình sao rồi
    anh {name} đặt mà chị {name} nhận được không ạ
    Mr. {western_name} ordered it for {western_name}
    ship về {address} giúp em nhé
    địa chỉ nhận hàng: {address}
    giao đến {address}, gọi {phone} trước khi giao
    em ở {address} ạ, phí ship bao nhiêu
    đổi địa chỉ sang {address} được không shop
    Shop check giùm đơn hôm qua với, thông tin của mình: {name} - {phone}
    em lưu nhầm thẻ {card} trên app, xóa giúp em
    I can be reached on {foreign_phone} after six
    Fax the invoice to {foreign_phone} please
    em đổi mật khẩu thành {password} rồi mà vẫn không vào được
    the password is {password} and it still says wrong
    """.strip().splitlines()
)
NEGATIVES = tuple(
    line.strip()
    for line in """
    đơn hàng {n9} của em đến đâu rồi ạ
    đơn {n10} bị hủy mà chưa hoàn tiền
    mã vận đơn {n12} đang ở kho nào
    em chuyển 1.250.000đ từ hôm 12/11/2025 rồi
    hoàn cho em {n6} VND nhé shop
    Where is my refund of 49.00 EUR from 2025-11-03?
    đơn của em 3 món, tổng 2.350.000 VND, phí ship 30k
    giao dịch pi_3NxA1b2C3d4E5f6G7h8I9j0K bị lỗi
    thẻ đuôi 4242 bị trừ 2 lần
    shop có mở cửa từ 8h30 đến 21h00 không
    ISBN 978-3-16-148410-0 còn hàng không ạ
    phiên bản 2.14.3 của app bị lỗi
    Is version 10.0.19045 of Windows supported?
    Order {n8} was shipped on 14.05.2025
    Tracking number {n11} shows nothing
    em muốn đổi size áo từ M sang L được không
    khi nào có hàng lại ạ shop ơi
    sao em bị trừ tiền hai lần vậy
    Can I pay with Visa or Mastercard in Germany?
    Will you refund the shipping cost as well?
    The QR code does not work on Monday
    thanh toán MoMo bị lỗi mà tiền vẫn trừ
    hồ sơ của em đang chờ duyệt từ thứ hai
    cho em hỏi phí rút tiền là bao nhiêu
    chị ơi em đặt nhầm màu rồi, đổi giúp em với
    anh cho em xin hóa đơn đỏ của đơn hôm qua
    một hai ba ngày nữa có hàng không shop
    tôi là khách hàng mới, cần hướng dẫn thanh toán
    bạn ơi đơn này có được giảm giá không
    em ở tỉnh xa thì phí ship thế nào ạ
    3 lần rồi mà chưa được hoàn tiền, 100% lỗi bên shop
    Sản phẩm A1234 hết hàng chưa ạ
    transaction {n14} failed with code 0x80070057
    re_1Abc ch_0912345678901 are refunds of May
    UUID 550e8400-e29b-41d4-a716-446655440000 in the log
    at 10:22:33 the app crashed
    Dear support, my order has not arrived
    Hello, can you check my payment please?
    Thanks for your help with the refund
    """.strip().splitlines()
)
_PART_RE = re.compile(r"\{([a-z_0-9]+)\}")
_FULL_WIDTH = {ord(digit): chr(ord(digit) + 0xFEE0) for digit in "0123456789"}
_DIGIT_TYPES = frozenset({"PHONE", "CARD", "NATIONAL_ID", "ACCOUNT", "TAX", "SSN"})
_MAKERS: dict[str, tuple[str, Callable[[Random], str]]] = {
    "phone": ("PHONE", pii_values.vietnamese_phone),
    "foreign_phone": ("PHONE", pii_values.foreign_phone),
    "email": ("EMAIL", pii_values.email),
    "card": ("CARD", pii_values.card),
    "iban": ("IBAN", pii_values.iban),
    "ip": ("IP", pii_values.ip),
    "mac": ("MAC", pii_values.mac),
    "personal_id": ("NATIONAL_ID", pii_values.personal_id),
    "old_personal_id": ("NATIONAL_ID", pii_values.old_personal_id),
    "ssn": ("SSN", pii_values.ssn),
    "account": ("ACCOUNT", pii_values.account),
    "tax_code": ("TAX", pii_values.tax_code),
    "passport": ("PASSPORT", pii_values.passport),
    "secret": ("SECRET", pii_values.secret),
    "password": ("SECRET", pii_values.password),
    "western_name": ("NAME", pii_people.western_name),
    "address": ("ADDRESS", pii_people.address),
}


# Written after the rest, and never looked at for what is missed in them: recall is reported on these.
HELD_OUT_TEMPLATES = tuple(
    line.strip()
    for line in """
    nhờ shop tra giúp, người đặt {name}, máy {phone}
    bên mình ghi nhầm tên {name} thành tên khác
    nhắn cho {phone} khi nào hàng tới kho nhé
    máy này hết pin, cần gì alo số {phone} của vợ mình
    0 thấy ai trả lời hết, gọi {phone} gấp!!!
    mình đăng ký tài khoản bằng địa chỉ {email} đúng không ạ
    hóa đơn VAT gửi {email}, cc thêm {email}
    Is {email} still the address that you have on file?
    cà thẻ {card} ở máy POS mà app báo lỗi
    The terminal declined {card} but the bank took 25.00 EUR
    gỡ thẻ {card} khỏi ví giúp mình với
    bên em nhận ngoại tệ qua {iban} nhé
    Our account for payouts changed to {iban} last month
    đăng nhập lạ từ {ip} lúc 10:22:33 ngày 12/11/2025
    Please whitelist {ip} for the webhook endpoint
    máy POS mất kết nối, MAC in trên nhãn là {mac}
    The router {mac} dropped off the network again
    gửi shop ảnh căn cước, số là {personal_id}
    KYC của em: cccd số {personal_id}, ngày cấp 01/02/2021
    em còn dùng chứng minh nhân dân {old_personal_id}, chưa đổi
    the IRS wants my social security number, {ssn}, on the form
    stk nhận tiền: {account}, ngân hàng {bank}
    nhờ kế toán ck về {bank} stk {account} ạ
    số tài khoản của mình bên {bank} là {account}
    công ty em có mst {tax_code}, xuất hóa đơn theo đó
    mã số thuế {tax_code} của bên mua
    khách nước ngoài, hộ chiếu {passport}, thanh toán được không
    the guest has passport {passport} and pays by card
    tích hợp với {secret} thì bị 403 là sao ạ
    I pasted {secret} into the wrong chat, can you revoke it?
    Would you ring {foreign_phone} about the delivery
    Ordered by my husband, his cell is {foreign_phone}
    Receipt by SMS to {foreign_phone} if possible
    mk em đặt {password} mà quên mất dấu, reset giúp
    your temp password {password} never worked for me
    cho mình hỏi đơn của chị {name} tới đâu rồi
    Kính gửi shop, tôi là {name}, mua hàng tuần trước
    hàng giao cho {name} ở {address} bị trả về
    nhà mình ở {address}, shop giao buổi tối nhé
    Dear team, this is {western_name}, order from last week
    """.strip().splitlines()
)
KNOWN_TEMPLATES = tuple(
    """
    đơn của {mention} bị trừ tiền hai lần
    hoàn tiền cho {mention} giúp em nhé
    bên nhận là {mention} chứ không phải em ạ
    please refund {mention}, the payment was doubled
    {mention} đã thanh toán hôm qua rồi shop
    thẻ này đứng tên {mention} nên không hoàn về em được
    em đặt hộ {mention}, chưa thấy hàng
    The card belongs to {mention} and not to me
    {mention} chưa nhận được tiền hoàn ạ
    check lại giúp đơn {mention} với shop ơi
    """.strip().splitlines()
)


class Label(NamedTuple):
    """Where a piece of personal data stands, and its type."""

    start: int
    end: int
    type: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A chat message, what is personal in it, and the number of its template."""

    text: str
    labels: tuple[Label, ...]
    template: int


def messages(
    seed: int, count: int, *, templates: Sequence[str] = TEMPLATES, given: Sequence[str] = ()
) -> Iterator[Message]:
    """`count` messages, each with personal data.

    Args:
        seed: the same gives the same messages.
        count: how many.
        templates: what they are made from.
        given: Vietnamese given names instead of the usual ones.
    """
    rng = Random(seed)
    for _ in range(count):
        number = rng.randrange(len(templates))
        yield _filled(rng, templates[number], number, given)


def known_messages(seed: int, count: int) -> Iterator[tuple[Message, str]]:
    """Messages about somebody who is known, in one of the ways to write a name, and the whole name."""
    rng = Random(seed)
    for _ in range(count):
        name = pii_people.vietnamese_name(rng) if rng.random() < 0.75 else pii_people.western_name(rng)
        number = rng.randrange(len(KNOWN_TEMPLATES))
        change = _change(rng)
        before, after = KNOWN_TEMPLATES[number].strip().split("{mention}")
        before, mention = change(before), change(pii_people.mention(rng, name))
        label = Label(len(before), len(before) + len(mention), "NAME")
        yield Message(text=before + mention + change(after), labels=(label,), template=number), name


def negatives(seed: int, count: int) -> Iterator[str]:
    """Messages with numbers, dates and amounts, and nothing personal."""
    rng = Random(seed)
    for _ in range(count):
        text = rng.choice(NEGATIVES).strip()
        text = _PART_RE.sub(lambda part: str(rng.randint(1, 9)) + pii_values.digits(rng, int(part[1][1:]) - 1), text)
        yield _without_accents(text) if rng.random() < 0.3 else text


def _filled(rng: Random, template: str, number: int, given: Sequence[str]) -> Message:
    change = _change(rng)
    spread = rng.random() < 0.06
    parts: list[str] = []
    labels: list[Label] = []
    at = end = 0
    for slot in _PART_RE.finditer(template):
        literal = change(template[at : slot.start()])
        value, kind = _value(rng, slot[1], given)
        value = change(_spread(rng, value, kind) if spread else value)
        parts += [literal, value]
        end += len(literal)
        if kind:
            labels.append(Label(end, end + len(value), kind))
        end += len(value)
        at = slot.end()
    parts.append(change(template[at:]))
    return Message(text="".join(parts), labels=tuple(labels), template=number)


def _value(rng: Random, slot: str, given: Sequence[str]) -> tuple[str, str]:
    if slot == "bank":
        return pii_values.bank(rng), ""
    if slot == "name":
        name = pii_people.vietnamese_name(rng, given)
        return (name.lower() if rng.random() < 0.15 else name), "NAME"
    kind, make = _MAKERS[slot]
    return make(rng), kind


def _change(rng: Random) -> Callable[[str], str]:
    """How the whole message is written: as usual, without accents, or with the accents as characters of their own."""
    way = rng.random()
    if way < 0.25:
        return _without_accents
    if way < 0.35:
        return lambda text: unicodedata.normalize("NFD", text)
    return lambda text: text


def _without_accents(text: str) -> str:
    plain = text.replace("đ", "d").replace("Đ", "D")
    return "".join(letter for letter in unicodedata.normalize("NFD", plain) if not unicodedata.combining(letter))


def _spread(rng: Random, value: str, kind: str) -> str:
    """The value with what a filter may not expect: invisible characters, full-width digits, other spaces."""
    if kind in _DIGIT_TYPES and rng.random() < 0.4:
        return value.translate(_FULL_WIDTH)
    if rng.random() < 0.3:
        return value.replace(" ", "\u00a0").replace("-", "\u2011")
    at = rng.randint(1, max(1, len(value) - 1))
    return value[:at] + rng.choice(["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad"]) + value[at:]
