"""A webhook's body as its items: each message, status, echo, handover and error alone. Pure.

One POST may bring a thousand, of several accounts, business numbers and so projects. Nothing in one harms another: what
cannot be split is one item, and says so when it is read.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from collector.events.event import Raw, replace_lone_surrogates
from collector.events.parse import MalformedError
from collector.whatsapp.members import NONE, Members, UnreadableError, read_members
from schemas.whatsapp import customer_id

OBJECT: Final = "whatsapp_business_account"
MESSAGES: Final = "messages"
ECHOES: Final = "smb_message_echoes"
STANDBY: Final = "standby"
HANDOVERS: Final = "messaging_handovers"
FIELDS: Final = (MESSAGES, ECHOES, STANDBY, HANDOVERS)
"""Those that are read; an app at Meta should subscribe to all of them."""
_BOM: Final = b"\xef\xbb\xbf"
_MENDED: Final = b"\\ufffd"


class Kind(Enum):
    """What an item is; the value is the member that it stands in, '' where it is the change's value itself."""

    MESSAGE = "messages"
    STATUS = "statuses"
    ECHO = "message_echoes"
    HANDOVER = ""
    ERROR = "errors"
    BROKEN = "broken"


_ARRAYS: Final[Mapping[str, tuple[Kind, ...]]] = {
    MESSAGES: (Kind.MESSAGE, Kind.STATUS, Kind.ERROR),
    ECHOES: (Kind.ECHO, Kind.ERROR),
    STANDBY: (Kind.MESSAGE, Kind.ECHO, Kind.STATUS, Kind.ERROR),
}


class Contact(NamedTuple):
    """What `contacts` says of a customer; phone: digits."""

    raw: bytes
    user_id: str
    phone: str
    name: str
    username: str


class Change(NamedTuple):
    """What an item stands in. account: the entry's id; number: the phone_number_id, '' where there is none."""

    field: str
    account: str
    number: str
    metadata: bytes
    contacts: tuple[Contact, ...]
    by_id: Mapping[str, Contact]

    def contact(self, user_id: str, phone: str) -> Contact | None:
        """The contact that an item with this user id and phone is of."""
        found = self.by_id.get(user_id) or self.by_id.get(phone)
        if found is None and len(self.contacts) == 1:
            # `from` and `wa_id` may differ, as numbers of some countries are written in two ways.
            (only,) = self.contacts
            found = only if not (user_id and only.user_id) else None
        return found


class Item(NamedTuple):
    """One item; raw: its JSON, of a broken one the whole change, entry or body. is_mended: lone surrogates became
    U+FFFD. why: it is broken."""

    kind: Kind
    change: Change
    raw: bytes
    is_mended: bool = False
    why: str = ""


class Split(NamedTuple):
    """The items; others: by field, how many changes are of one that is not read, or have nothing to be read."""

    items: list[Item]
    others: Counter[str]


class _Entry(msgspec.Struct, gc=False):
    id: str | int = ""
    changes: list[Raw] = []


class _Body(msgspec.Struct, gc=False):
    entry: list[Raw]
    object: str


_decode_body: Final = msgspec.json.Decoder(_Body).decode
_decode_entry: Final = msgspec.json.Decoder(_Entry).decode
_decode_any: Final = msgspec.json.Decoder(Raw).decode
_NOWHERE: Final = Change("", "", "", b"{}", (), {})


def split(body: bytes) -> Split:
    """The items of a body. Raises MalformedError when it is no JSON."""
    sent = body.removeprefix(_BOM)
    text = sent if _is_json(sent) else replace_lone_surrogates(sent)
    try:
        _decode_any(text)
    except RecursionError:
        return Split([_broken(text, "nested too deeply")], Counter())
    except ValueError as error:
        raise MalformedError(f"malformed JSON: {error}") from None
    others: Counter[str] = Counter()
    items = list(_items(text, others))
    if text != sent:
        items = [item._replace(is_mended=_MENDED in item.raw) for item in items]
    return Split(items, others)


def _is_json(text: bytes) -> bool:
    try:
        _decode_any(text)
    except (ValueError, RecursionError):
        return False
    return True


def _items(text: bytes, others: Counter[str]) -> Iterator[Item]:
    try:
        whole = _decode_body(text)
    except ValueError as error:
        yield _broken(text, f"no webhook: {error}")
        return
    if whole.object != OBJECT:
        yield _broken(text, f"the object is {whole.object[:50]!r}, no {OBJECT}")
        return
    for raw in whole.entry:
        try:
            entry = _decode_entry(raw)
        except ValueError as error:
            yield _broken(b'{"object":"%s","entry":[%s]}' % (OBJECT.encode(), bytes(raw)), f"no entry: {error}")
            continue
        for change in entry.changes:
            yield from _of_change(str(entry.id), bytes(change), others)


def _of_change(account: str, raw: bytes, others: Counter[str]) -> Iterator[Item]:
    try:
        members = read_members(raw)
        field = members.text("field")
        if field not in FIELDS:
            others[field] += 1
            return
        value = members.members("value")
        if value is NONE:
            yield _broken(_body_of(account, raw), "the change has no value")
            return
        if field == HANDOVERS:
            yield Item(Kind.HANDOVER, _change(field, account, value, "recipient", NONE), members.raw("value"))
            return
        holder = value.members("standby") if field == STANDBY else value
        change = _change(field, account, value, "metadata", holder)
        found = [Item(kind, change, item) for kind in _ARRAYS[field] for item in holder.items(kind.value)]
    except (UnreadableError, ValueError, RecursionError) as error:
        yield _broken(_body_of(account, raw), f"the change cannot be read: {error}")
        return
    if not found:
        others[field] += 1
    yield from found


def _change(field: str, account: str, value: Members, where: str, holder: Members) -> Change:
    contacts = tuple(map(_contact, holder.items("contacts")))
    by_id = {one: contact for contact in reversed(contacts) for one in (contact.phone, contact.user_id) if one}
    number = value.members(where).id("phone_number_id")
    return Change(field, account, number, value.raw(where) or b"{}", contacts, by_id)


def _contact(raw: bytes) -> Contact:
    if raw[:1] != b"{":
        return Contact(raw, "", "", "", "")
    members = read_members(raw)
    profile = members.members("profile")
    phone = customer_id(members.id("wa_id"))
    return Contact(raw, members.id("user_id"), phone, profile.text("name"), profile.text("username"))


def _broken(body: bytes, why: str) -> Item:
    return Item(Kind.BROKEN, _NOWHERE, body, why=why)


def _body_of(account: str, change: bytes) -> bytes:
    entry = b'{"id":%s,"changes":[%s]}' % (msgspec.json.encode(account), change)
    return b'{"object":"%s","entry":[%s]}' % (OBJECT.encode(), entry)


def body_of(item: Item, contact: Contact | None) -> bytes:
    """A webhook's body with this item alone, as it would be posted anew."""
    if item.kind is Kind.BROKEN:
        return item.raw
    change = item.change
    if item.kind is Kind.HANDOVER:
        value = item.raw
    else:
        contacts = b"" if contact is None else b'"contacts":[%s],' % contact.raw
        held = b'{%s"%s":[%s]}' % (contacts, item.kind.value.encode(), item.raw)
        inner = b'"standby":' + held if change.field == STANDBY else held[1:-1]
        value = b'{"messaging_product":"whatsapp","metadata":%s,%s}' % (change.metadata, inner)
    return _body_of(change.account, b'{"value":%s,"field":"%s"}' % (value, change.field.encode()))
