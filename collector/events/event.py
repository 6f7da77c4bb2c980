"""One event of a request as JSON, read into typed fields; what is not needed stays raw JSON, byte for byte.

`read_event` tries the common shapes first, in one pass. Only what does not fit is looked at member by member, to accept
numbers where ids are expected and to say exactly what is wrong.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from schemas.outcomes import DeadReason

Raw = msgspec.Raw
_ABSENT: Final = Raw(b"")
_NOTHING: Final = (b"", b"null")
_WHOLE_DIGITS_MAX: Final = 21


class Refused(Exception):
    """The event cannot be admitted. `detail` is for people."""

    def __init__(self, reason: DeadReason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(reason, detail)


class Event(msgspec.Struct, gc=False, rename="camel"):
    """The members of an event that decide something. Raw members are b"" when absent; unknown members are ignored."""

    type: str | None = None
    message_id: str | None = None
    anonymous_id: str | None = None
    user_id: str | None = None
    event: str | None = None
    name: str | None = None
    timestamp: str | float | int | None = None
    original_timestamp: str | float | int | None = None
    sent_at: str | float | int | None = None
    properties: Raw = _ABSENT
    traits: Raw = _ABSENT
    context: Raw = _ABSENT
    category: Raw = _ABSENT
    group_id: str | None = None
    previous_id: str | None = None
    channel: str | None = None


class _Members(msgspec.Struct, gc=False, rename="camel"):
    """The same members, all raw."""

    type: Raw = _ABSENT
    message_id: Raw = _ABSENT
    anonymous_id: Raw = _ABSENT
    user_id: Raw = _ABSENT
    event: Raw = _ABSENT
    name: Raw = _ABSENT
    timestamp: Raw = _ABSENT
    original_timestamp: Raw = _ABSENT
    sent_at: Raw = _ABSENT
    properties: Raw = _ABSENT
    traits: Raw = _ABSENT
    context: Raw = _ABSENT
    category: Raw = _ABSENT
    group_id: Raw = _ABSENT
    previous_id: Raw = _ABSENT
    channel: Raw = _ABSENT


_decode_event: Final = msgspec.json.Decoder(Event).decode
_decode_members: Final = msgspec.json.Decoder(_Members).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_time: Final = msgspec.json.Decoder(str | float | int | None).decode

# A surrogate escape without its other half, as JavaScript writes text that was cut within an emoji. The first branch
# consumes pairs and other escapes, so that "\\ud800" (a backslash, then text) is left alone.
_SURROGATES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\."
)


def read_event(raw: Raw | bytes) -> tuple[Event, bool]:
    """Read one event: (the event, whether lone surrogates in it had to be replaced).

    Raises Refused with the reason: not JSON, not an object, or a member that cannot be used.
    """
    try:
        return _decode_event(raw), False
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is a failed UTF-8 decode
        return _read_leniently(bytes(raw))


def _read_leniently(raw: bytes) -> tuple[Event, bool]:
    try:
        members = _decode_members(raw)
    except msgspec.ValidationError:
        raise Refused(DeadReason.EVENT_NOT_OBJECT, f"an event is a JSON object, this is {kind(raw)}") from None
    except RecursionError:
        raise Refused(DeadReason.EVENT_TOO_DEEP, "nested too deeply") from None
    except UnicodeDecodeError as error:
        raise Refused(DeadReason.INVALID_UTF8, str(error)[:200]) from None
    except msgspec.DecodeError as error:
        mended = replace_lone_surrogates(raw)
        if mended == raw:
            raise Refused(DeadReason.EVENT_NOT_JSON, str(error)) from None
        return read_event(mended)[0], True
    return _coerce(members), False


def _coerce(members: _Members) -> Event:
    return Event(
        type=text_or_none(members.type),
        message_id=_id(members.message_id, "messageId"),
        anonymous_id=_id(members.anonymous_id, "anonymousId"),
        user_id=_id(members.user_id, "userId"),
        event=text_or_none(members.event),
        name=text_or_none(members.name),
        timestamp=time_as_sent(bytes(members.timestamp)),
        original_timestamp=time_as_sent(bytes(members.original_timestamp)),
        sent_at=time_as_sent(bytes(members.sent_at)),
        properties=members.properties,
        traits=members.traits,
        context=members.context,
        category=members.category,
        group_id=_id(members.group_id, "groupId"),
        previous_id=_id(members.previous_id, "previousId"),
        channel=text_or_none(members.channel),
    )


def _id(raw: Raw, member: str) -> str | None:
    """An id: text, or a number as `number_as_id` writes it."""
    text = bytes(raw)
    if text in _NOTHING:
        return None
    if text[0] in b"-0123456789":
        return number_as_id(text.decode())
    if text[0] == ord('"'):
        return _text(text)
    raise Refused(DeadReason.FIELD_WRONG_TYPE, f"{member} is text or a number, this is {kind(text)}")


def number_as_id(text: str) -> str:
    """A JSON number as the id it is: a whole one by its digits alone (12345.0 and 1.2345e4 are 12345), others as sent.

    Never by way of a float: every digit stays, also above 2^53. What has more than 21 digits written out, where
    JavaScript too goes over to exponents, stays as sent.
    """
    if text.lstrip("-").isdigit():
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return text
    if number.adjusted() < _WHOLE_DIGITS_MAX and _is_whole(number):
        return format(number, "f").partition(".")[0]
    return text


def _is_whole(number: Decimal) -> bool:
    _, digits, exponent = number.as_tuple()
    return isinstance(exponent, int) and (exponent >= 0 or not any(digits[exponent:]))


def _text(raw: bytes) -> str:
    try:
        return _decode_text(raw)
    except UnicodeDecodeError as error:
        raise Refused(DeadReason.INVALID_UTF8, str(error)[:200]) from None


def text_or_none(raw: Raw) -> str | None:
    """The text of a JSON string; None for anything else."""
    text = bytes(raw)
    return _text(text) if text[:1] == b'"' else None


def time_as_sent(raw: bytes) -> str | float | int | None:
    """A JSON text or number; None for null and nothing; for anything else its JSON, which is no time."""
    if raw in _NOTHING:
        return None
    try:
        sent: str | float | int | None = _decode_time(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
    return sent


def kind(raw: bytes) -> str:
    """The JSON kind of a value, for people."""
    names = {b"{": "an object", b"[": "an array", b'"': "text", b"t": "true", b"f": "false", b"n": "null"}
    return names.get(raw.lstrip()[:1], "a number" if raw else "nothing")


def replace_lone_surrogates(raw: bytes) -> bytes:
    """JSON text in which every lone surrogate escape is U+FFFD: nothing behind the collector can read the others."""
    return _SURROGATES.sub(lambda match: b"\\ufffd" if _is_lone(match[0]) else match[0], raw)


def _is_lone(escape: bytes) -> bool:
    return len(escape) == 6
