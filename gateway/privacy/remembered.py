"""Whom webhooks told us of: kept as keyed digests, so that a name is found again in a chat and can be read nowhere.

A digest is made of each way to write a name that people are found by, words in any order; a text's words are digested
in the same way, a few at a time, and looked up. One file per tenant, beside the tenant's other files.
"""

import hashlib
import hmac
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import re2
import structlog

from gateway.privacy.found import NAME, PHONE, Found
from gateway.privacy.known import name_forms
from gateway.privacy.phones import PHONE_DIGITS_MIN, canonical_phone
from gateway.privacy.view import View, flat

FILE = "subjects.sqlite"
NODES_MAX, PEOPLE_MAX = 2_000, 20
PAIR, WORDS_MAX = 2, 5
JOINED_CHARS_MIN = 7
LEARNED_MAX, LOOKED_UP_MAX = 50_000, 500
_DIGEST_BYTES = 12
_SCHEMA = "CREATE TABLE IF NOT EXISTS subject (digest BLOB PRIMARY KEY, token TEXT NOT NULL) WITHOUT ROWID"
# What says in a provider's JSON that a name is a person's, and not a product's.
_PERSON_KEYS = frozenset(
    """
    billing_details shipping shipping_details customer customer_details payer buyer recipient sender owner shopper
    cardholder billing_address shipping_address delivery_address beneficiary user_info embed_data contact
    """.split()
)
_NAME_KEYS = frozenset("name full_name fullname shoppername cardholdername holdername display_name username".split())
_FIRST_KEYS = frozenset("given_name first_name firstname".split())
_LAST_KEYS = frozenset("surname last_name lastname family_name".split())
_PHONE_KEYS = frozenset("phone phone_number phonenumber telephone telephonenumber mobile national_number".split())
_PARTS_OF_PERSON = _NAME_KEYS | {"address", "phone"}
# A key that may be a person's with a text as its value: most messages have none, and this is soon seen.
_TELLS_RE = re2.compile(
    rb'"(?:[A-Za-z_]{0,14}[Nn]ame|surname|[A-Za-z_]{0,10}[Pp]hone[A-Za-z_]{0,7}|mobile)"\s{0,2}:\s{0,2}"[^"]'
)
_WORD_RE = re.compile(r"[^ ]+")
_RUN_RE = re.compile(r"\+?[0-9](?:[ ./()-]{0,2}[0-9]){6,15}")

log = structlog.get_logger("privacy")


class Person(NamedTuple):
    """A name or a telephone number as a provider wrote it."""

    type: str
    written: str


def people_in(body: bytes) -> list[Person]:
    """The people that a provider's JSON tells of, at most `PEOPLE_MAX`. Never raises for what is in it."""
    if _TELLS_RE.search(body) is None:
        return []
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    people: list[Person] = []
    nodes: list[tuple[Any, bool]] = [(told, False)]
    for node, is_person in nodes:
        if isinstance(node, list):
            nodes += [(each, is_person) for each in node]
        elif isinstance(node, dict):
            people += _of_person(node) if is_person or "email" in node else ()
            # `name: {given_name, surname}` of a payer, and the customer's address.
            nodes += [
                (value, key in _PERSON_KEYS or (is_person and key in _PARTS_OF_PERSON))
                for key, value in node.items()
                if isinstance(value, dict | list)
            ]
        if len(people) >= PEOPLE_MAX or len(nodes) > NODES_MAX:
            break
    return people[:PEOPLE_MAX]


def _of_person(told: Mapping[str, object]) -> Iterator[Person]:
    names: dict[str, str] = {}
    for written_key, value in told.items():
        if not isinstance(value, str) or not value.strip():
            continue
        key = written_key.lower()
        if key in _NAME_KEYS:
            yield Person(NAME, value)
        elif key in _PHONE_KEYS:
            yield Person(PHONE, value)
        elif key in _FIRST_KEYS:
            names["first"] = value
        elif key in _LAST_KEYS:
            names["last"] = value
    if names:
        yield Person(NAME, " ".join(names[part] for part in ("last", "first") if part in names))


class Remembered:
    """The people of one tenant. Several processes may use the same file.

    Args:
        data: the node's directory.
        tenant: whose people.
        key: the tenant's key.
        region: the country of phone numbers without a country code.
    """

    def __init__(self, data: Path, tenant: str, key: bytes, region: str) -> None:
        self._path = data / "tenants" / tenant / FILE
        self._key = hmac.digest(key, b"subjects", "sha256")
        self._region = region
        self._connection: sqlite3.Connection | None = None
        self._learned: set[Person] = set()
        self._learning: list[tuple[bytes, str]] = []

    def learn(self, people: Sequence[Person], token: Callable[[str, str], str]) -> None:
        """Remember people, each with the `token` of its type and canonical value; `keep` makes it last."""
        for person in people:
            if person in self._learned:
                continue
            if len(self._learned) >= LEARNED_MAX:
                self._learned.clear()
            self._learned.add(person)
            canonical = self._canonical(person)
            of_person = token(person.type, canonical)
            self._learning += [(self._digest(form), of_person) for form in self._forms(person, canonical)]

    def keep(self) -> None:
        """Write down what was learned, so that other processes know it too. One commit for many messages."""
        if not self._learning:
            return
        rows, self._learning = self._learning, []
        try:
            with self._opened() as connection:
                connection.executemany("INSERT OR IGNORE INTO subject VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            # Whoever tells of somebody must not be refused for it; the next message tells again.
            self._learned.clear()
            log.warning("subjects_not_kept", reason=str(error))

    def find(self, view: View) -> list[Found]:
        """Where any of them is spoken of."""
        self.keep()
        if self._connection is None and not self._path.exists():
            return []
        spans = [
            (start, end, kind, self._digest(form))
            for start, end, kind, form in (*self._windows(view), *self._runs(view))
        ]
        try:
            tokens = self._tokens({digest for *_, digest in spans})
        except sqlite3.Error as error:
            log.warning("subjects_not_read", reason=str(error))
            return []
        return [Found(start, end, kind, "", tokens[digest]) for start, end, kind, digest in spans if digest in tokens]

    def close(self) -> None:
        self.keep()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _tokens(self, digests: Collection[bytes]) -> dict[bytes, str]:
        """The tokens of those digests that are known."""
        tokens: dict[bytes, str] = {}
        listed = list(digests)
        for start in range(0, len(listed), LOOKED_UP_MAX):
            batch = listed[start : start + LOOKED_UP_MAX]
            query = f"SELECT digest, token FROM subject WHERE digest IN ({','.join('?' * len(batch))})"  # noqa: S608 - question marks alone
            tokens.update(self._opened().execute(query, batch))
        return tokens

    def _canonical(self, person: Person) -> str:
        if person.type == PHONE:
            return canonical_phone(person.written, self._region)
        return " ".join(flat(person.written).split())

    def _forms(self, person: Person, canonical: str) -> set[str]:
        """What a window of a text must say to be this person: words in any order, or all in one."""
        if person.type == PHONE:
            return {canonical} if sum(map(str.isdigit, canonical)) >= PHONE_DIGITS_MIN else set()
        forms = set()
        for form, _ in name_forms(person.written):
            parts = form.split()
            is_joined = len(parts) == 1 and len(form) >= JOINED_CHARS_MIN and " " in canonical
            is_initials = all(len(part) == 1 for part in parts)
            if is_joined or (PAIR <= len(parts) <= WORDS_MAX and (not is_initials or len(parts) > PAIR)):
                forms.add(" ".join(sorted(parts)))
        return forms

    def _windows(self, view: View) -> Iterator[tuple[int, int, str, str]]:
        words = [match.span() for match in _WORD_RE.finditer(view.flat)]
        plain = [view.flat[start:end] for start, end in words]
        capital = [view.text[start].isupper() for start, _ in words]
        for first, (start, end) in enumerate(words):
            if end - start >= JOINED_CHARS_MIN:
                yield start, end, NAME, plain[first]
            for count in range(PAIR, min(WORDS_MAX, len(words) - first) + 1):
                # Two words in lower case may be any two words.
                if count > PAIR or (capital[first] and capital[first + 1]):
                    last = first + count
                    yield start, words[last - 1][1], NAME, " ".join(sorted(plain[first:last]))

    def _runs(self, view: View) -> Iterator[tuple[int, int, str, str]]:
        for run in _RUN_RE.finditer(view.text):
            yield *run.span(), PHONE, canonical_phone(run[0], self._region)

    def _digest(self, form: str) -> bytes:
        return hashlib.blake2b(form.encode(errors="replace"), key=self._key, digest_size=_DIGEST_BYTES).digest()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, check_same_thread=False, timeout=10)
            connection.execute("PRAGMA journal_mode=WAL")
            # What a crash takes away is learned again from the next webhook.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA)
            self._connection = connection
        return self._connection
