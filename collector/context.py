"""The context of an event: what the collector reads of it, the batch's context beneath it, the collector's notes."""

from collections.abc import Mapping
from typing import Final

import msgspec

from collector.event import Raw, Refused, kind
from schemas.outcomes import DeadReason

_ABSENT: Final = Raw(b"")
_EMPTY: Final = b"{}"


class ContextPart(msgspec.Struct, gc=False, rename="camel"):
    """What the collector reads of a context."""

    ip: str | None = None
    user_agent: str | None = None
    session_id: str | int | None = None


class _RawPart(msgspec.Struct, gc=False, rename="camel"):
    ip: Raw = _ABSENT
    user_agent: Raw = _ABSENT
    session_id: Raw = _ABSENT


NO_PART: Final = ContextPart()
_decode_part: Final = msgspec.json.Decoder(ContextPart).decode
_decode_raw_part: Final = msgspec.json.Decoder(_RawPart).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def require_object(raw: Raw, reason: DeadReason, member: str) -> bytes:
    """The JSON object as sent, `{}` for absent and null. Raises Refused with `reason` for any other value."""
    text = bytes(raw)
    if text[:1] == b"{":
        return text
    if not text or text == b"null":
        return _EMPTY
    raise Refused(reason, f"{member} is an object, this is {kind(text)}")


def read_context(context: bytes) -> ContextPart:
    """The members of a JSON object that the collector needs; those of a wrong type count as absent."""
    if context == _EMPTY:
        return NO_PART
    try:
        return _decode_part(context)
    except ValueError:
        raw = _decode_raw_part(context)
        session_id = bytes(raw.session_id)
        is_number = session_id[:1] in (b"-", *(b"%d" % digit for digit in range(10)))
        return ContextPart(
            ip=_text(raw.ip),
            user_agent=_text(raw.user_agent),
            session_id=session_id.decode() if is_number else _text(raw.session_id),
        )


def _text(raw: Raw) -> str | None:
    text = bytes(raw)
    return _decode_text(text) if text[:1] == b'"' else None


def merge_context(batch: bytes, own: bytes) -> bytes:
    """The batch's context beneath an event's own: members that both have are the event's, each byte for byte."""
    return msgspec.json.encode(_decode_members(batch) | _decode_members(own))


def with_notes(context: bytes, notes: Mapping[str, object]) -> bytes:
    """The context with a last member `tally` that holds what the collector has to say about the event."""
    member = b'"tally":' + msgspec.json.encode(notes) + b"}"
    inside = context[1:-1]
    return b"{" + inside + b"," + member if inside.strip() else b"{" + member
