"""Raw events as records of the log: bytes under a key, good ones and every kind of bad one."""

import json
from typing import Any, Final

from hypothesis import strategies as st

from schemas import keys
from schemas.column_codec import ColumnCodec
from schemas.registry import EmbeddedIds
from tests.streams.universe import MESSAGE_IDS, PROJECTS, TENANT, Row, clustered_times, made_uuid

IDS: Final = EmbeddedIds()
RAW: Final = ColumnCodec("raw_events", IDS)


def raw_event(number: int = 0, **fields: Any) -> Row:
    """One sound event; `fields` replace its own."""
    record: Row = {
        "event_id": made_uuid(f"event {number}"),
        "message_id": made_uuid(f"message {number}"),
        "client_message_id": f"client-{number}",
        "tenant_id": TENANT,
        "project_id": PROJECTS[0],
        "event_type": "track",
        "event_name": "Viewed",
        "timestamp": 1_795_000_000_000 + number * 1_000,
        "received_at": 1_795_000_000_400 + number * 1_000,
        "anonymous_id": "ann",
        "user_id": None,
        "client_session_id": None,
        "group_id": None,
        "previous_id": None,
        "ip_address": "",
        "user_agent": "",
        "properties": "{}",
        "context": "{}",
    }
    return record | fields


def key_of(record: Row) -> bytes:
    """The Kafka key that the collector gives."""
    visitor = record["anonymous_id"] or record["user_id"] or ""
    scope = f"{record['tenant_id']}/{record['project_id']}/"
    return keys.of_raw_event(scope, visitor, record["client_session_id"])


def truncated(value: bytes) -> bytes:
    """The record less its last bytes."""
    return value[:-7]


def unknown_schema(value: bytes) -> bytes:
    """The record under a schema id that nobody has given."""
    return b"\0" + (999_999).to_bytes(4, "big") + value[5:]


def other_schema(value: bytes) -> bytes:
    """The record under the id of another topic's schema."""
    return b"\0" + IDS.schema_id("sessions").to_bytes(4, "big") + value[5:]


def with_invalid_utf8(value: bytes) -> bytes:
    """The record with bytes in a string that are no UTF-8; event_name must be 'Viewed'."""
    assert b"Viewed" in value
    return value.replace(b"Viewed", b"View\xff\xfe")


def bad_records(event: Row, large: bytes) -> list[tuple[bytes | None, bytes | None, str]]:
    """Key, value and reason of one record of every kind that no collector writes, made from a sound event.

    large: bytes that are no Avro, about as many as Kafka takes.
    """
    key, value = key_of(event), RAW.encode(event)
    wrong = {"event_id": "no uuid"}, {"message_id": made_uuid(1).upper()}, {"project_id": ""}, {"timestamp": -1}
    return [
        (key, truncated(value), "not_avro"),
        (key, b"", "not_avro"),
        (key, None, "not_avro"),
        (key, b"\1" + value[1:], "not_avro"),
        (key, large, "not_avro"),
        (key, unknown_schema(value), "schema_id_unknown"),
        (key, other_schema(value), "schema_mismatch"),
        (key, with_invalid_utf8(value), "invalid_utf8"),
        (None, value, "field_invalid"),
        (b"another/project/v/ann", value, "field_invalid"),
        (key[:-1] + b"\xff", value, "field_invalid"),
        *((key, RAW.encode(event | fields), "field_invalid") for fields in wrong),
    ]


@st.composite
def raw_events(draw: st.DrawFn, times: st.SearchStrategy[int] = clustered_times) -> Row:
    """A sound event of one of a few visitors and client sessions."""
    at = draw(times)
    project = draw(st.sampled_from(PROJECTS))
    session = draw(st.sampled_from((None, None, None, made_uuid(f"session {project}"), "1718")))
    anonymous_id = draw(st.sampled_from(("ann", "bob", "")))
    user_id = draw(st.sampled_from((None, "u1", "u2"))) if anonymous_id else "u1"
    context: dict[str, Any] = {"page": {"path": draw(st.sampled_from(("", "/a", "/b")))}}
    token = draw(st.sampled_from((None, None, "t1", "t2")))
    if token:
        context["handshake_token"] = token
    traits = {"name": draw(st.sampled_from(("A", "B"))), "PIN": "1234"} if draw(st.booleans()) else {}
    kind, name = draw(
        st.sampled_from(
            (
                ("track", "Viewed"),
                ("track", "Bought"),
                ("track", "Signed In"),
                ("page", ""),
                ("identify", ""),
                ("alias", ""),
            )
        )
    )
    return raw_event(
        event_id=made_uuid(f"event {draw(st.integers(0, 999))}"),
        message_id=draw(st.sampled_from(MESSAGE_IDS)),
        project_id=project,
        event_type=kind,
        event_name=name,
        timestamp=at,
        received_at=at + draw(st.sampled_from((0, 700, 3_000))),
        anonymous_id=anonymous_id,
        user_id=user_id,
        client_session_id=session,
        previous_id=draw(st.sampled_from(("ann", "cat"))) if kind == "alias" else None,
        properties=json.dumps(traits),
        context=json.dumps(context),
    )


_bad_fields: Final[st.SearchStrategy[Row]] = st.sampled_from(
    (
        {"event_id": "not-a-uuid"},
        {"event_id": "0" * 36},
        {"message_id": made_uuid("x").upper()},
        {"message_id": made_uuid("x") + "\n"},
        {"tenant_id": ""},
        {"project_id": ""},
        {"tenant_id": f"{TENANT}/more"},
        {"project_id": f"{PROJECTS[0]}/v"},
        {"timestamp": -1},
        {"timestamp": 2**43},
        {"timestamp": 2**43 - 1},
        {"timestamp": 10**14},
        {"received_at": -(10**12)},
        {"received_at": 2**43},
        {"timestamp": 0},
    )
)


def three_parts(event: Row) -> bytes:
    """A key that begins as the event's, and has nothing behind the owner but one part."""
    return f"{event['tenant_id']}/{event['project_id']}/x".encode()


@st.composite
def records(draw: st.DrawFn) -> tuple[bytes | None, bytes | None]:
    """Key and value of one record: sound, of unsound fields, under a wrong key, or no record at all."""
    event = draw(raw_events())
    kind = draw(st.sampled_from(("sound", "sound", "fields", "key", "bytes")))
    if kind == "fields":
        event = event | draw(_bad_fields)
    key: bytes | None = key_of(event)
    value: bytes | None = RAW.encode(event)
    if kind == "key":
        key = draw(
            st.sampled_from((None, b"", b"\xff\xfe", b"elsewhere/v/ann", key_of(event)[40:], three_parts(event)))
        )
    if kind == "bytes":
        assert value is not None
        event_named = RAW.encode(event | {"event_name": "Viewed"})
        value = draw(
            st.sampled_from(
                (None, b"", b"\0\0", b"junk", truncated(value), unknown_schema(value), other_schema(value),
                 with_invalid_utf8(event_named), value[:5], b"\1" + value[1:])
            )
        )  # fmt: skip
    return key, value
