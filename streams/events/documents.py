"""The members of context and properties that enrichment reads, out of any JSON text.

A member of another type than expected is as if absent; so is everything in a text that is no JSON object. Duplicate
names: the last counts. Lone surrogates, which UTF-8 cannot hold, become U+FFFD.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct


class Page(Struct, gc=False):
    """context.page, and what SDKs put into properties on page and screen calls."""

    # In the order in which analytics.js writes them: the decoder expects the next member to be the next field.
    path: str | None = None
    referrer: str | None = None
    title: str | None = None
    url: str | None = None


class Library(Struct, gc=False):
    """context.library."""

    name: str | None = None
    version: str | None = None


class Campaign(Struct, gc=False):
    """context.campaign."""

    source: str | None = None
    medium: str | None = None
    name: str | None = None


class System(Struct, gc=False):
    """context.os."""

    name: str | None = None
    version: str | None = None


class Device(Struct, gc=False):
    """context.device."""

    type: str | None = None
    model: str | None = None
    name: str | None = None


class UserAgentData(Struct, gc=False):
    """context.userAgentData: what a browser says of itself beside its user agent."""

    platform: str | None = None
    platformVersion: str | None = None
    model: str | None = None
    mobile: bool | None = None


class Context(Struct, gc=False):
    """The members of context that are read."""

    page: Page | None = None
    library: Library | None = None
    campaign: Campaign | None = None
    os: System | None = None
    device: Device | None = None
    userAgentData: UserAgentData | None = None
    channel_type: str | None = None
    channelType: str | None = None
    external_id: str | None = None
    externalId: str | None = None
    handshake_token: str | None = None
    handshakeToken: str | None = None


class Handshake(Struct, gc=False):
    """The members of a track event's properties that are read."""

    handshake_token: str | None = None
    handshakeToken: str | None = None


class Referral(Struct, gc=False):
    """properties.referral."""

    ctwa_clid: str | None = None
    source_id: str | None = None


class Chat(Struct, gc=False):
    """The members of the properties of a WhatsApp event that are read (`schemas.whatsapp`)."""

    phone_number_id: str | None = None
    wa_id: str | None = None
    message_id: str | None = None
    group_id: str | None = None
    referral: Referral | None = None
    status: str | None = None
    pricing_category: str | None = None
    sender: str | None = None
    message_type: str | None = None
    new_owner_role: str | None = None
    previous_customer: str | None = None
    to: str | None = None
    is_standby: bool | None = None
    expires_at: int | None = None


S = TypeVar("S", bound=Struct)
Reader = Callable[[Iterable[str]], list[S]]

_NESTED: dict[str, type[Struct]] = {
    "page": Page,
    "library": Library,
    "campaign": Campaign,
    "os": System,
    "device": Device,
    "userAgentData": UserAgentData,
    "referral": Referral,
}
_FLAGS = frozenset({"mobile", "is_standby"})
_NUMBERS = frozenset({"expires_at"})
_SURROGATE = re.compile("[\ud800-\udfff]")


def reader(kind: type[S]) -> Reader[S]:
    """A function from JSON texts to structs, in order; never raises for what a text holds.

    The typed decoder refuses every text with something unusual in it (0.6 µs a text of 450 bytes; polars'
    `str.json_decode` takes 1.3, turns numbers into text and lets the first of duplicate names count). Those texts, and
    only those, are read again by Python's own reader.
    """
    decode = msgspec.json.Decoder(kind).decode

    def read_one(text: str) -> S:
        try:
            return decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return _conform(_load(text), kind)

    def read(texts: Iterable[str]) -> list[S]:
        texts = list(texts)
        try:
            return [decode(text) for text in texts]
        except (msgspec.MsgspecError, RecursionError):
            return [read_one(text) for text in texts]

    return read


def _load(text: str) -> Any:
    try:
        # Numbers are not read: as floats they cost nothing and have no limit of digits.
        return json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None


def _conform(value: Any, kind: type[S]) -> S:
    members = value if isinstance(value, dict) else {}
    found: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        member = members.get(name)
        nested = _NESTED.get(name)
        if nested is not None:
            found[name] = _conform(member, nested)
        elif name in _FLAGS:
            found[name] = member if isinstance(member, bool) else None
        elif name in _NUMBERS:
            found[name] = int(member) if isinstance(member, float) and member.is_integer() else None
        elif isinstance(member, str):
            found[name] = _SURROGATE.sub("\ufffd", member)
    return kind(**found)
