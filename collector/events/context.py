"""The context of an event: what the collector reads of it, the batch's context beneath it, the collector's notes."""

from collections.abc import Mapping
from typing import Final

import msgspec

from collector.events.event import Raw, Refused, kind, number_as_id
from schemas.outcomes import DeadReason

_ABSENT: Final = Raw(b"")
_EMPTY: Final = b"{}"


class Library(msgspec.Struct, gc=False):
    """context.library. env: what @jitsu/js runs in, browser or node."""

    name: str | None = None
    env: str | None = None


class ContextPart(msgspec.Struct, gc=False, rename="camel"):
    """What the collector reads of a context. ip: "" for none, text that is no address for a value of another type."""

    ip: str | None = None
    user_agent: str | None = None
    session_id: str | int | None = None
    library: Library | None = None
    direct: bool | None = None


class _RawPart(msgspec.Struct, gc=False, rename="camel"):
    ip: Raw = _ABSENT
    user_agent: Raw = _ABSENT
    session_id: Raw = _ABSENT
    library: Raw = _ABSENT
    direct: Raw = _ABSENT


class _RawLibrary(msgspec.Struct, gc=False):
    name: Raw = _ABSENT
    env: Raw = _ABSENT


class _Traits(msgspec.Struct, gc=False):
    traits: Raw = _ABSENT


class _Groups(msgspec.Struct, gc=False, rename="camel"):
    group_id: Raw = _ABSENT


class _Device(msgspec.Struct, gc=False, rename="camel"):
    """What only the devices of people have, or browsers and apps tell of them."""

    user_agent: Raw = _ABSENT
    page: Raw = _ABSENT
    screen: Raw = _ABSENT
    device: Raw = _ABSENT
    os: Raw = _ABSENT
    app: Raw = _ABSENT


NO_PART: Final = ContextPart()
_UNREADABLE: Final = "?"
_decode_part: Final = msgspec.json.Decoder(ContextPart).decode
_decode_raw_part: Final = msgspec.json.Decoder(_RawPart).decode
_decode_raw_library: Final = msgspec.json.Decoder(_RawLibrary).decode
_decode_traits: Final = msgspec.json.Decoder(_Traits).decode
_decode_groups: Final = msgspec.json.Decoder(_Groups).decode
_decode_device: Final = msgspec.json.Decoder(_Device).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_texts: Final = msgspec.json.Decoder(list[str]).decode


def require_object(raw: Raw, reason: DeadReason, member: str) -> bytes:
    """The JSON object as sent; `{}` for what is empty. Raises Refused with `reason` for any other value.

    Empty are, besides a member that is absent: null, "" and [], which is how PHP writes an array without entries.
    """
    text = bytes(raw)
    if text[:1] == b"{":
        return text
    if is_empty(text):
        return _EMPTY
    raise Refused(reason, f"{member} is an object, this is {kind(text)}")


def is_empty(text: bytes) -> bool:
    """Whether a JSON value says nothing: absent, null, "", [] or {}."""
    return text in (b"", b"null", b'""') or (text[:1] in (b"[", b"{") and not text[1:-1].strip())


def read_context(context: bytes) -> ContextPart:
    """The members of a JSON object that the collector needs; those of a wrong type count as absent, but for ip."""
    if context == _EMPTY:
        return NO_PART
    try:
        return _decode_part(context)
    except ValueError:
        raw = _decode_raw_part(context)
        session_id = bytes(raw.session_id)
        is_number = session_id[:1] in (b"-", *(b"%d" % digit for digit in range(10)))
        return ContextPart(
            ip=_ip(raw.ip),
            user_agent=_text(raw.user_agent),
            session_id=number_as_id(session_id.decode()) if is_number else _text(raw.session_id),
            library=_library(raw.library),
            direct=bytes(raw.direct) == b"true",
        )


def _ip(raw: Raw) -> str | None:
    """Of an array the first text; something that is no address for what is neither text nor empty."""
    text = bytes(raw)
    if is_empty(text):
        return None
    if text[:1] == b"[":
        try:
            return _decode_texts(text)[0]
        except ValueError:
            return _UNREADABLE
    return _text(raw) if text[:1] == b'"' else _UNREADABLE


def _library(raw: Raw) -> Library | None:
    if bytes(raw)[:1] != b"{":
        return None
    library = _decode_raw_library(raw)
    return Library(_text(library.name), _text(library.env))


def traits_of(context: bytes) -> bytes:
    """context.traits when it is an object with members, `{}` otherwise."""
    traits = bytes(_decode_traits(context).traits)
    return traits if traits[:1] == b"{" and not is_empty(traits) else _EMPTY


def tells_of_a_device(context: bytes) -> bool:
    """Whether the context has a member that comes from a person's device."""
    device = _decode_device(context)
    return not all(is_empty(bytes(getattr(device, name))) for name in _Device.__struct_fields__)


def with_group(context: bytes, group_id: str) -> tuple[bytes, bool]:
    """The context with groupId as its last member, and True; as it was, and False, when it has one."""
    if not is_empty(bytes(_decode_groups(context).group_id)):
        return context, False
    return _with_member(context, b'"groupId":' + msgspec.json.encode(group_id)), True


def _text(raw: Raw) -> str | None:
    text = bytes(raw)
    return _decode_text(text) if text[:1] == b'"' else None


def merge_objects(beneath: bytes, own: bytes) -> bytes:
    """One JSON object beneath another: members that both have are the second's, each byte for byte."""
    return msgspec.json.encode(_decode_members(beneath) | _decode_members(own))


def with_notes(context: bytes, notes: Mapping[str, object]) -> bytes:
    """The context with a last member `tally` that holds what the collector has to say about the event."""
    return _with_member(context, b'"tally":' + msgspec.json.encode(notes))


def _with_member(context: bytes, member: bytes) -> bytes:
    inside = context[1:-1]
    return b"{" + inside + b"," + member + b"}" if inside.strip() else b"{" + member + b"}"
