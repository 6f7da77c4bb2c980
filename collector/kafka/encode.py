"""Raw events and dead letters as framed Avro, by hand: both records are flat, and this is a fifth of fastavro's cost.

What is written here by heart is checked against the schemas when an encoder is made, and against fastavro in the tests.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from collector.events.admit import RawEvent
from collector.events.refuse import RefusedEvent
from collector.projects.directory import Owner
from schemas import varint
from schemas.codec import Codec
from schemas.registry import current_schema

_STRING: Final = "string"
_OPTIONAL: Final = ["null", "string"]
_MILLIS: Final = {"type": "long", "logicalType": "timestamp-millis"}
_RAW_EVENT: Final = (
    ("event_id", _STRING),
    ("message_id", _STRING),
    ("client_message_id", _STRING),
    ("tenant_id", _STRING),
    ("project_id", _STRING),
    ("event_type", _STRING),
    ("event_name", _STRING),
    ("timestamp", _MILLIS),
    ("received_at", _MILLIS),
    ("anonymous_id", _STRING),
    ("user_id", _OPTIONAL),
    ("client_session_id", _OPTIONAL),
    ("group_id", _OPTIONAL),
    ("previous_id", _OPTIONAL),
    ("ip_address", _STRING),
    ("user_agent", _STRING),
    ("properties", _STRING),
    ("context", _STRING),
    ("origin", _STRING),
)
_DEAD_LETTER: Final = (
    ("dead_letter_id", _STRING),
    ("tenant_id", _STRING),
    ("project_id", _STRING),
    ("stage", _STRING),
    ("reason", _STRING),
    ("detail", _STRING),
    ("payload", "bytes"),
    ("client_message_id", _STRING),
    ("source_topic", _STRING),
    ("source_partition", "int"),
    ("source_offset", "long"),
    ("first_seen_at", _MILLIS),
    ("source_key", _STRING),
    ("arrival", _STRING),
)
_SCOPES_MAX: Final = 10_000
_UUID_CHARS: Final = 36
_UUID_LENGTH: Final = chr(2 * _UUID_CHARS)  # the length of 36 as Avro writes it, which happens to be a character
_TABLE_LENGTH: Final = 4096
_LENGTHS: Final = tuple(varint.encode(number) for number in range(_TABLE_LENGTH))
_NULL: Final = varint.encode(0)
_EMPTY: Final = varint.encode(0)  # a text without characters
_VALUE: Final = varint.encode(1)  # the second branch of ["null", "string"]


def _millis(moment: int) -> bytes:
    """A time as an Avro long. The two low groups of seven bits come from a table, the rest changes every 8 s."""
    if moment < len(_LOW_MILLIS):
        return varint.encode(moment)
    return _LOW_MILLIS[moment & 0x1FFF] + _high_millis(moment >> 13)


# Of a non-negative number's zigzag form, the lowest bit is 0 and 13 bits of the number fill two groups.
_LOW_MILLIS: Final = tuple(bytes((low << 1 & 0x7F | 0x80, low >> 6 | 0x80)) for low in range(1 << 13))


@lru_cache(maxsize=4096)
def _high_millis(high: int) -> bytes:
    return varint.encode_unsigned(high)


def _length(count: int) -> bytes:
    return _LENGTHS[count] if count < _TABLE_LENGTH else varint.encode(count)


def _string(text: str) -> bytes:
    return _bytes(text.encode())


def _bytes(text: bytes) -> bytes:
    return _length(len(text)) + text


def _optional(text: str | None) -> bytes:
    return _NULL if text is None else _VALUE + _string(text)


class RawEventEncoder:
    """Encodes raw events. Raises RuntimeError when made for a schema it was not written for."""

    def __init__(self, codec: Codec) -> None:
        _require_fields(codec.topic, _RAW_EVENT)
        self._head = codec.header + _length(_UUID_CHARS)
        self._scopes: dict[tuple[str, str, str], bytes] = {}
        self._received_at = -1
        self._received: bytes = b""

    def encode(self, event: RawEvent) -> bytes:
        """One record, framed."""
        if event.received_at != self._received_at:
            # One value for all events of a request.
            self._received_at, self._received = event.received_at, varint.encode(event.received_at)
        scope = self._scopes.get((event.tenant_id, event.project_id, event.event_type))
        if scope is None:
            scope = self._scope(event.tenant_id, event.project_id, event.event_type)
        try:
            return self._encode_short(event, scope)
        except IndexError:
            return self._encode_any(event, scope)

    def _encode_short(self, event: RawEvent, scope: bytes) -> bytes:
        """The usual case, without a call a field. Raises IndexError when a value is too long for the table."""
        lengths = _LENGTHS
        client_message_id = event.client_message_id.encode()
        name = event.event_name.encode()
        anonymous_id = event.anonymous_id.encode()
        user_id = event.user_id
        ip_address = event.ip_address.encode()
        user_agent = event.user_agent.encode()
        properties = event.properties
        context = event.context
        return b"".join(
            (
                self._head,
                f"{event.event_id}{_UUID_LENGTH}{event.message_id}".encode(),
                lengths[len(client_message_id)],
                client_message_id,
                scope,
                lengths[len(name)],
                name,
                _millis(event.timestamp),
                self._received,
                lengths[len(anonymous_id)],
                anonymous_id,
                _NULL if user_id is None else _optional(user_id),
                _NULL if event.client_session_id is None else _optional(event.client_session_id),
                _NULL if event.group_id is None else _optional(event.group_id),
                _NULL if event.previous_id is None else _optional(event.previous_id),
                lengths[len(ip_address)],
                ip_address,
                lengths[len(user_agent)],
                user_agent,
                lengths[len(properties)],
                properties,
                lengths[len(context)],
                context,
                _string(event.origin) if event.origin else _EMPTY,
            )
        )

    def _encode_any(self, event: RawEvent, scope: bytes) -> bytes:
        """The same for values of any length."""
        return b"".join(
            (
                self._head,
                f"{event.event_id}{_UUID_LENGTH}{event.message_id}".encode(),
                _string(event.client_message_id),
                scope,
                _string(event.event_name),
                varint.encode(event.timestamp),
                self._received,
                _string(event.anonymous_id),
                _optional(event.user_id),
                _optional(event.client_session_id),
                _optional(event.group_id),
                _optional(event.previous_id),
                _string(event.ip_address),
                _string(event.user_agent),
                _bytes(event.properties),
                _bytes(event.context),
                _string(event.origin),
            )
        )

    def _scope(self, tenant_id: str, project_id: str, event_type: str) -> bytes:
        """The three neighbouring fields that all events of a project and type share."""
        if len(self._scopes) >= _SCOPES_MAX:
            self._scopes.clear()
        scope = _string(tenant_id) + _string(project_id) + _string(event_type)
        self._scopes[tenant_id, project_id, event_type] = scope
        return scope


class DeadLetterEncoder:
    """Encodes dead letters of the stage `collector`. Raises RuntimeError as RawEventEncoder does."""

    def __init__(self, codec: Codec) -> None:
        _require_fields(codec.topic, _DEAD_LETTER)
        self._header = codec.header
        self._source = _string("") + varint.encode(-1) + varint.encode(-1)

    def encode(self, refused: RefusedEvent, owner: Owner) -> bytes:
        """One record, framed."""
        return b"".join(
            (
                self._header,
                _string(refused.dead_letter_id),
                _string(owner.tenant_id),
                _string(owner.project_id),
                _string("collector"),
                _string(refused.reason),
                _string(refused.detail),
                _bytes(refused.payload),
                _string(refused.client_message_id),
                self._source,
                varint.encode(refused.first_seen_at),
                _string(""),
                _bytes(refused.arrival),
            )
        )


class Encoders(NamedTuple):
    """Records to bytes."""

    raw_events: RawEventEncoder
    dead_letters: DeadLetterEncoder


def _require_fields(topic: str, written: tuple[tuple[str, Any], ...]) -> None:
    fields: list[Mapping[str, Any]] = current_schema(topic)["fields"]
    if [(field["name"], field["type"]) for field in fields] != [*written]:
        raise RuntimeError(f"the schema of {topic} is not the one collector/kafka/encode.py writes")
