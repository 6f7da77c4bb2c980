"""What an item of a webhook says: the name of its event, whose it is, when, and what is kept of it. Pure.

Texts, names and media are `content`, kept only where the project says so; all else is properties (`schemas.whatsapp`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from collector.whatsapp.members import NONE, Members, UnreadableError, read_members
from collector.whatsapp.webhook import STANDBY, Contact, Item, Kind
from schemas import whatsapp
from schemas.whatsapp import customer_id, is_phone

_CALLBACK: Final = re.compile(r"(?:^|;)\s*tally:(sender|handshake)=([^;]*)")
_CHANGED_FROM: Final = re.compile(r"changed from (\+?[0-9]{5,20}) to (\+?[0-9]{5,20})")
_USER_CHANGED: Final = frozenset({"user_changed_number", "user_changed_user_id"})
_CONTACT_REQUEST: Final = "contact_request"
_REFERRAL: Final = ("ctwa_clid", "source_id", "source_type", "source_url", "headline")
_REACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "reaction": (whatsapp.MESSAGE_REACTED, "message_id"),
    "edit": (whatsapp.MESSAGE_EDITED, "original_message_id"),
    "revoke": (whatsapp.MESSAGE_REVOKED, "original_message_id"),
}


Value = str | int | dict[str, str]
Properties = dict[str, Value]


class Personal(str):
    """An id that is a person's, or a message's: some projects keep its hash."""

    __slots__ = ()


class Said(msgspec.Struct, gc=False):
    """What an item says.

    at_s: seconds since 1970. wa_id: digits. key: parts of what names the event for ever, () where it has no id.
    carriers: texts that a handshake token may stand in. content: JSON of what only some projects keep.
    """

    event_name: str
    customer: str
    wa_id: str
    at_s: int | None
    key: tuple[str, ...]
    properties: Properties
    carriers: list[str] = []
    content: dict[str, msgspec.Raw | str] = {}
    status: str = ""


class IgnoredError(Exception):
    """Nothing is to be made of the item."""


def contact_of(item: Item) -> Contact | None:
    """The contact that comes with an item."""
    try:
        members = read_members(item.raw)
        user_id = members.id("from_user_id") or members.id("recipient_user_id") or members.id("to_user_id")
        phone = members.id("from") or members.id("recipient_id") or members.id("to")
    except (UnreadableError, ValueError):
        return None
    return item.change.contact(user_id, customer_id(phone))


def read_item(item: Item) -> Said:
    """What an item says. Raises IgnoredError, and ValueError with what cannot be read."""
    if item.kind is Kind.BROKEN:
        raise ValueError(item.why)
    try:
        said = _READERS[item.kind](item, read_members(item.raw))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    said.properties["phone_number_id"] = item.change.number
    if item.change.field == STANDBY:
        said.properties["is_standby"] = True
    return said


def _message(item: Item, members: Members) -> Said:
    kind = members.text("type")
    if kind == "system":
        return _system(members)
    contact = item.change.contact(members.id("from_user_id"), customer_id(members.id("from")))
    customer, wa_id = _customer(members.id("from_user_id"), members.id("from"), contact)
    body = members.members(kind)
    wamid = members.id("id")
    properties: Properties = {"message_type": kind, "message_id": Personal(wamid)}
    said = Said(
        "", customer, wa_id, members.seconds("timestamp"), _key(wamid), properties, content=_content(members, kind)
    )
    if contact is not None:
        said.content |= {"profile_name": contact.name, "username": contact.username}
    _put(properties, "group_id", members.id("group_id"))
    _put(properties, "referral", _referral(members))
    _put(properties, "error_code", members.first("errors").whole("code"))
    if kind in _REACTIONS:
        said.event_name = _reacted(properties, kind, body)
        return said
    _context(properties, members.members("context"))
    if kind == "request_welcome":
        said.event_name = whatsapp.CHAT_OPENED
        return said
    said.event_name = whatsapp.MESSAGE_RECEIVED
    _received(said, members, kind, body)
    return said


def _received(said: Said, members: Members, kind: str, body: Members) -> None:
    """What is kept of a customer's message whatever the project says, and where in it a token may stand."""
    properties = said.properties
    reply = NONE
    if kind == "interactive":
        properties["interactive_type"] = reply_type = body.text("type")
        reply = body.members(reply_type)
    text = body.text("body") or body.text("caption")
    reply_id = body.text("payload") if kind == "button" else reply.text("id")
    said.carriers = [carrier for carrier in (text, reply_id, reply.text("response_json")) if carrier]
    if text:
        properties["text_length"] = len(text)
    _put(properties, "reply_id", reply_id)
    _put(properties, "is_voice", body.flag("voice"))
    _put(properties, "product_count", len(body.items("product_items")))
    if kind == "contacts" and not said.wa_id and (shared := _own_phone(members)):
        said.wa_id, said.customer = shared, said.customer or shared


def _own_phone(members: Members) -> str:
    """The phone that a customer gave when asked for it; other people's cards teach nothing."""
    card = members.first("contacts")
    if _CONTACT_REQUEST not in (members.text("origin"), card.text("origin")):
        return ""
    phone = card.first("phones")
    found = customer_id(phone.id("wa_id") or phone.text("phone"))
    return found if is_phone(found) else ""


def _system(members: Members) -> Said:
    """A customer has another number or id now."""
    system = members.members("system")
    if system.text("type") not in _USER_CHANGED:
        raise IgnoredError
    told = _CHANGED_FROM.search(system.text("body"))
    wa_id = customer_id(system.id("wa_id") or system.id("new_wa_id") or (told[2] if told else ""))
    former_phone = customer_id(members.id("from") or (told[1] if told else ""))
    customer = system.id("user_id") or wa_id
    properties: Properties = {
        "message_id": Personal(members.id("id")),
        "change_type": system.text("type"),
        "previous_customer": Personal(system.id("previous_user_id") or former_phone),
    }
    _put(properties, "previous_wa_id", Personal(former_phone))
    key = _key(members.id("id"))
    at_s = members.seconds("timestamp")
    return Said(whatsapp.USER_CHANGED, customer, wa_id if is_phone(wa_id) else "", at_s, key, properties)


def _status(item: Item, members: Members) -> Said:
    wamid, status = members.id("id"), members.text("status")
    recipient, user_id = members.id("recipient_id"), members.id("recipient_user_id")
    properties: Properties = {"message_id": Personal(wamid), "status": status}
    participant = ""
    if members.text("recipient_type") == "group":
        properties["group_id"] = recipient
        user_id = members.id("recipient_participant_user_id") or members.id("participant_user_id")
        recipient = members.id("recipient_participant_id") or members.id("participant_recipient_id") or recipient
        participant = user_id or recipient
    contact = item.change.contact(user_id, customer_id(recipient))
    customer, wa_id = _customer(user_id, recipient, contact)
    pricing, conversation = members.members("pricing"), members.members("conversation")
    _put(properties, "pricing_category", pricing.text("category"))
    _put(properties, "pricing_model", pricing.text("pricing_model"))
    _put(properties, "pricing_type", pricing.text("type"))
    _put(properties, "is_billable", pricing.flag("billable"))
    _put(properties, "billing_conversation_id", conversation.id("id"))
    _put(properties, "billing_conversation_origin", conversation.members("origin").text("type"))
    _put(properties, "error_code", members.first("errors").whole("code"))
    told = dict(_CALLBACK.findall(members.text("biz_opaque_callback_data")))
    if told.get("sender") in ("bot", "agent"):
        properties["sender"] = told["sender"]
    key = (*_key(wamid), status) if wamid and status else ()
    if key and participant:
        key = (*key, Personal(participant))
    carriers = [told["handshake"]] if "handshake" in told else []
    content = _raw(members, "biz_opaque_callback_data", "errors")
    at_s = members.seconds("timestamp")
    return Said(whatsapp.MESSAGE_STATUS, customer, wa_id, at_s, key, properties, carriers, content, status)


def _echo(item: Item, members: Members) -> Said:
    """What the business, or Meta's agent, wrote elsewhere; on standby its message is what was asked to be sent."""
    asked = members.members("message")
    of = members if asked is NONE else asked
    kind, wamid = of.text("type"), members.id("id")
    user_id = members.id("to_user_id") or of.id("to_user_id") or of.id("recipient")
    to = members.id("to") or of.id("to")
    customer, wa_id = _customer(user_id, to, item.change.contact(user_id, customer_id(to)))
    properties: Properties = {"message_id": Personal(wamid), "message_type": kind, "is_echo": True}
    key = (*_key(wamid), "echo") if wamid else ()
    said = Said("", customer, wa_id, members.seconds("timestamp"), key, properties, content=_content(of, kind))
    _put(properties, "group_id", to if of.text("recipient_type") == "group" else "")
    body = of.members(kind)
    if kind in _REACTIONS:
        said.event_name = _reacted(properties, kind, body)
        return said
    _context(properties, of.members("context"))
    text = body.text("body") or body.text("caption")
    _put(properties, "text_length", len(text))
    said.event_name = whatsapp.MESSAGE_ECHOED
    return said


def _handover(item: Item, members: Members) -> Said:
    kind, sender = members.text("type"), members.members("sender")
    roles = members.members(kind)
    customer, wa_id = _customer(sender.id("user_id"), sender.id("phone_number"), None)
    at_s = members.seconds("timestamp")
    properties: Properties = {"handover_type": kind}
    for name in ("previous_owner_role", "new_owner_role", "previous_owner_app_role", "new_owner_app_role"):
        _put(properties, name, roles.text(name))
    # It has no id: number, customer, time and type are all that tells it from another one.
    key = ("handover", item.change.number, Personal(customer), str(at_s), kind) if kind and customer else ()
    return Said(whatsapp.HANDOVER, customer, wa_id, at_s, key, properties, content=_raw(roles, "metadata"))


def _customer(user_id: str, phone: str, contact: Contact | None) -> tuple[str, str]:
    """(the customer, the customer's phone): the user id, else the phone; '' for what is not known."""
    wa_id = customer_id(phone)
    if contact is not None:
        user_id, wa_id = user_id or contact.user_id, contact.phone or wa_id
    return user_id or wa_id, wa_id if is_phone(wa_id) else ""


def _reacted(properties: Properties, kind: str, body: Members) -> str:
    event_name, member = _REACTIONS[kind]
    _put(properties, "original_message_id", Personal(body.id(member)))
    if kind == "reaction":
        properties["is_removed"] = not body.text("emoji")
    return event_name


def _context(properties: Properties, context: Members) -> None:
    """What a message answers, or that it was passed on."""
    _put(properties, "reply_to", Personal(context.id("id")))
    _put(properties, "is_forwarded", context.flag("forwarded") or context.flag("frequently_forwarded"))
    _put(properties, "is_frequently_forwarded", context.flag("frequently_forwarded"))
    product = context.members("referred_product")
    _put(properties, "referred_product", product.id("product_retailer_id"))


def _referral(members: Members) -> dict[str, str]:
    referral = members.members("referral")
    found = {name: referral.id(name) for name in _REFERRAL}
    return {name: text for name, text in found.items() if text}


def _content(members: Members, kind: str) -> dict[str, msgspec.Raw | str]:
    return _raw(members, kind, "errors") if kind else {}


def _raw(members: Members, *names: str) -> dict[str, msgspec.Raw | str]:
    return {name: msgspec.Raw(members.raw(name)) for name in names if name in members}


def _key(wamid: str) -> tuple[str, ...]:
    return (Personal(wamid),) if wamid else ()


def _put(properties: Properties, name: str, value: Value | None) -> None:
    """A property, unless it says nothing."""
    if value:
        properties[name] = value


def _error(item: Item, members: Members) -> Said:
    """It is of no customer and has neither id nor time; the same one counts once a day."""
    properties: Properties = {}
    _put(properties, "error_code", members.whole("code"))
    return Said(whatsapp.CHANNEL_ERROR, "", "", None, (), properties, content={"error": msgspec.Raw(item.raw)})


_READERS: Final[Mapping[Kind, Callable[[Item, Members], Said]]] = {
    Kind.MESSAGE: _message,
    Kind.STATUS: _status,
    Kind.ECHO: _echo,
    Kind.HANDOVER: _handover,
    Kind.ERROR: _error,
}
