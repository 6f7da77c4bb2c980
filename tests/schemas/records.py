"""Records of any topic, made from its schema, and ways to spoil their bytes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from schemas.codec import HEADER_BYTES
from schemas.column_codec import ColumnCodec
from schemas.registry import EmbeddedIds, current_schema
from schemas.topics import TOPICS

# The years that Python's dates know.
FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CODECS: Mapping[str, ColumnCodec] = {topic: ColumnCodec(topic, EmbeddedIds()) for topic in TOPICS}
# pyruhvro does not know the type bytes.
COLUMNAR = tuple(topic for topic in TOPICS if topic != "dead_letters")


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an Avro type; timestamps as milliseconds."""
    if isinstance(kind, list):
        return st.one_of([values(branch) for branch in kind])
    if isinstance(kind, dict):
        return (
            st.lists(values(kind["items"]), max_size=4) if kind["type"] == "array" else st.integers(FIRST_MS, LAST_MS)
        )
    return {
        "null": st.none(),
        "string": st.text(max_size=40),
        "bytes": st.binary(max_size=40),
        "boolean": st.booleans(),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
    }[kind]


def records(topic: str) -> st.SearchStrategy[dict[str, Any]]:
    """Records as `Codec.encode` takes them."""
    return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in current_schema(topic)["fields"]})


def record(topic: str, **given: Any) -> dict[str, Any]:
    """One plain record, with some fields given."""
    made = {field["name"]: _plain(field["type"]) for field in current_schema(topic)["fields"]}
    assert given.keys() <= made.keys()
    return made | given


def dated(topic: str, made: Mapping[str, Any]) -> dict[str, Any]:
    """The record as it is read back: milliseconds have become dates."""
    times = {field["name"] for field in current_schema(topic)["fields"] if _is_time(field["type"])}
    return {name: _date(value) if name in times and value is not None else value for name, value in made.items()}


def utc(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of Arrow, whose dates carry no zone, with UTC put to them."""
    return {name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for name, value in row.items()}


@st.composite
def spoiled(draw: st.DrawFn, topic: str) -> bytes:
    """A record's bytes after something happened to them, or any bytes."""
    value = CODECS[topic].encode(draw(records(topic)))
    place = draw(st.integers(0, len(value) - 1))
    how = draw(st.sampled_from(["cut", "flip", "insert", "append", "other id", "replace", "noise", "framed noise"]))
    noise = draw(st.binary(max_size=60))
    match how:
        case "cut":
            return value[:place]
        case "flip":
            return value[:place] + bytes([value[place] ^ 1 << draw(st.integers(0, 7))]) + value[place + 1 :]
        case "insert":
            return value[:place] + noise + value[place:]
        case "append":
            return value + noise
        case "other id":
            return b"\0" + draw(st.integers(0, 2**32 - 1)).to_bytes(4, "big") + value[HEADER_BYTES:]
        case "replace":
            return value[:place] + noise + value[place + len(noise) :]
        case "noise":
            return noise
    return value[:HEADER_BYTES] + noise


def _is_time(kind: Any) -> bool:
    branches = kind if isinstance(kind, list) else [kind]
    return any(isinstance(one, dict) and one.get("logicalType") == "timestamp-millis" for one in branches)


def _date(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def _plain(kind: Any) -> Any:
    if isinstance(kind, list):
        return None
    if isinstance(kind, dict):
        return [] if kind["type"] == "array" else 1_790_000_000_000
    return {"string": "x", "bytes": b"x", "boolean": False, "int": 1, "long": 1}[kind]
