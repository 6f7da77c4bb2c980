"""The body of a request as the raw JSON of its events, and what it says about all of them."""

from typing import Final, NamedTuple

import msgspec

from collector.events.event import Raw, replace_lone_surrogates, time_as_sent
from collector.events.salvage import STRANGERS_TOKENS_MAX, TOKENS_MAX, Salvaged, salvage
from collector.events.times import parse_time

_ABSENT: Final = Raw(b"")
_BOM: Final = b"\xef\xbb\xbf"
# Of what was sent as a time and is none; times have at most 128 characters.
NOTED_CHARS_MAX: Final = 1_000


class Call(NamedTuple):
    """What its route says of a body.

    is_batch: it has many events, else it is one. event_type: of a route for one type, None where the event says it.
    is_import: its events may be as old as the table.
    """

    is_batch: bool = False
    event_type: str | None = None
    is_import: bool = False


class MalformedError(ValueError):
    """The body is not JSON, or is not what the route takes; str(error) goes to the client."""


class Batch(msgspec.Struct, gc=False):
    """The events of a request, each as the JSON that stood there, without any look at what they say.

    is_utf8: the whole body is. sent_at: ms, the body's own for a batch, None otherwise. unread_sent_at: as sent, when
    it is no time; "" otherwise. context: a JSON object for all events, b"" when none. write_key: the body's, when it
    was asked for. is_single: the body is the event.
    """

    events: list[Raw] | list[bytes]
    is_utf8: bool
    sent_at: int | None = None
    unread_sent_at: str = ""
    context: bytes = b""
    write_key: str | None = None
    is_single: bool = False


class _Envelope(msgspec.Struct, gc=False, rename="camel"):
    batch: list[Raw] | None = None
    sent_at: Raw = _ABSENT
    context: Raw = _ABSENT
    write_key: Raw = _ABSENT


class _Keyed(msgspec.Struct, gc=False, rename="camel"):
    write_key: Raw = _ABSENT


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_keyed: Final = msgspec.json.Decoder(_Keyed).decode
_decode_text: Final = msgspec.json.Decoder(str | None).decode


def parse_single(body: bytes, key_wanted: bool) -> Batch:
    """A body that is one event. It is not parsed here, save for its writeKey when that is wanted."""
    body = body.removeprefix(_BOM).strip()
    if not body:
        raise MalformedError("malformed JSON: the body is empty")
    return Batch(
        [body], body.isascii() or is_utf8(body), write_key=_find_key(body) if key_wanted else None, is_single=True
    )


def parse_batch(body: bytes, is_key_known: bool = True) -> Batch:
    """A body `{"batch": […], …}`. Raises MalformedError when its events cannot be told apart.

    is_key_known: for whom nobody vouches yet, less time is spent on finding the events of a broken body.
    """
    try:
        envelope = _decode_envelope(body)
    except msgspec.ValidationError as error:
        raise MalformedError(f"malformed batch: {error}") from None
    except (ValueError, RecursionError) as error:
        return _salvage_batch(body.removeprefix(_BOM), error, TOKENS_MAX if is_key_known else STRANGERS_TOKENS_MAX)
    if envelope.batch is None:
        raise MalformedError("malformed batch: the member 'batch' is missing")
    return Batch(
        envelope.batch,
        is_utf8(body),
        *_sent_at(bytes(envelope.sent_at)),
        _context(bytes(envelope.context)),
        _text(envelope.write_key),
    )


def is_utf8(text: bytes) -> bool:
    """Whether the bytes are valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _salvage_batch(body: bytes, error: Exception, tokens_max: int) -> Batch:
    salvaged = salvage(body, tokens_max)
    if salvaged is None or salvaged.elements is None:
        raise MalformedError(f"malformed JSON: {error}") from None
    members = salvaged.members
    return Batch(
        salvaged.elements,
        False,
        *_sent_at(members.get(b'"sentAt"', b"")),
        _context(members.get(b'"context"', b"")),
        _salvaged_key(salvaged),
    )


def _find_key(body: bytes) -> str | None:
    try:
        return _text(_decode_keyed(body).write_key)
    except (ValueError, RecursionError):
        salvaged = salvage(body, STRANGERS_TOKENS_MAX)
        return None if salvaged is None else _salvaged_key(salvaged)


def _salvaged_key(salvaged: Salvaged) -> str | None:
    return _text(salvaged.members.get(b'"writeKey"', b""))


def _text(raw: Raw | bytes) -> str | None:
    try:
        text: str | None = _decode_text(raw)
    except ValueError:
        return None
    return text


def _sent_at(raw: bytes) -> tuple[int | None, str]:
    """(ms, what was sent instead of a time)"""
    sent = time_as_sent(raw)
    if sent is None:
        return None, ""
    sent_at = parse_time(sent)
    return sent_at, "" if sent_at is not None else str(sent)[:NOTED_CHARS_MAX]


def _context(raw: bytes) -> bytes:
    """A context for all events, lone surrogates replaced; what is no JSON object, or an empty one, counts as none."""
    if raw[:1] != b"{" or not raw[1:-1].strip():
        return b""
    if _is_object(raw):
        return raw
    mended = replace_lone_surrogates(raw)
    return mended if _is_object(mended) else b""


def _is_object(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw, type=dict[str, Raw])
    except (ValueError, RecursionError):
        return False
    return True
