"""Planted personal data of every type that is looked for, and how to find what is left of it."""

import json

NAME, OTHER_NAME = "Trần Zyxquoc Bảo", "Nguyễn Qwertan Hạnh"
CANARIES = {
    "phone": "0912 345 678",
    "email": "canary.bird@example.com",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "ip": "203.0.113.77",
    "cccd": "001099012345",
    "ssn": "219-09-9991",
    "account": "19036512345678",
    "tax": "0312345678-001",
    "key": "sk_" + "live_canary0123456789abcdef",
    "name": OTHER_NAME,
    "address": "45/12 Lê Canaryo, phường 7, quận 5, TP.HCM",
}
TEXT = (
    "Did my payment go through? sđt {phone}, mail {email}, thẻ {card}, IBAN {iban}, ip {ip}, cccd {cccd}, my ssn is "
    "{ssn}, stk {account} vietcombank, mst {tax}, key {key}, tôi tên là {name}, ship về {address}"
).format(**CANARIES)
# Each as it was written, and as it would stand in a file that keeps only its digits or its ASCII.
TRACES = [
    *CANARIES.values(),
    *[value.replace(" ", "").replace("-", "") for value in CANARIES.values()],
    "0912345678",
    "912345678",
    NAME,
    "Zyxquoc",
    "zyxquoc",
    "Qwertan",
    "qwertan",
    "Canaryo",
    "canary.bird",
]


def traces_in(data: bytes) -> list[str]:
    forms = {trace: {trace.encode(), json.dumps(trace)[1:-1].encode()} for trace in TRACES}
    return [trace for trace, written in forms.items() if any(form in data for form in written)]
