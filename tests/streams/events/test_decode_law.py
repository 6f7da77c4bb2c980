"""decode: every record is a row or a dead letter, alone, whatever stands beside it."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outcomes import DeadReason
from streams.events.decode import decode
from streams.runtime.operator import Records
from tests.streams.oracle import decode_record
from tests.streams.raw import (
    RAW,
    key_of,
    other_schema,
    raw_event,
    raw_events,
    records,
    three_parts,
    truncated,
    unknown_schema,
    with_invalid_utf8,
)
from tests.streams.universe import Row, made_uuid

Pairs = list[tuple[bytes | None, bytes | None]]

FIELDS: Final = RAW.arrow_schema.names


def as_records(pairs: Pairs) -> Records:
    count = len(pairs)
    return Records(
        [index % 2 for index in range(count)],
        [100 + 3 * index for index in range(count)],
        [key for key, _ in pairs],
        [value for _, value in pairs],
    )


def rows_of(pairs: Pairs) -> tuple[dict[int, Row], dict[int, DeadReason]]:
    """What decode makes of them, by index."""
    frame, invalid = decode(as_records(pairs), RAW)
    plain = frame.with_columns(frame["timestamp"].cast(int), frame["received_at"].cast(int))
    rows = {row["index"]: row for row in plain.to_dicts()}
    assert len(rows) == len(frame)
    reasons = {bad.index: bad.reason for bad in invalid}
    assert len(reasons) == len(invalid)
    return rows, reasons


@given(st.lists(records(), max_size=12))
def test_columns_decide_as_one_record_at_a_time(pairs: Pairs) -> None:
    rows, reasons = rows_of(pairs)
    for index, (key, value) in enumerate(pairs):
        expected = decode_record(key, value, RAW)
        if isinstance(expected, DeadReason):
            assert reasons[index] is expected
            assert index not in rows
        else:
            assert index not in reasons
            assert {name: rows[index][name] for name in FIELDS} == expected
            place = {"source_partition": index % 2, "source_offset": 100 + 3 * index, "key": key}
            assert {name: rows[index][name] for name in place} == place
    assert len(rows) + len(reasons) == len(pairs)


@given(st.lists(raw_events(), max_size=8), st.lists(st.tuples(st.integers(0, 8), records()), max_size=4))
def test_a_record_is_the_same_row_whatever_stands_beside_it(
    events: list[Row], others: list[tuple[int, tuple[bytes | None, bytes | None]]]
) -> None:
    good: Pairs = [(key_of(event), RAW.encode(event)) for event in events]
    mixed = list(good)
    for place, pair in others:
        mixed.insert(place, pair)
    alone, _ = rows_of(good)
    rows, reasons = rows_of(mixed)
    for index, row in alone.items():
        # Several may be equal: any place of the same bytes will do.
        place = mixed.index(good[index])
        assert place not in reasons
        assert {name: rows[place][name] for name in FIELDS} == {name: row[name] for name in FIELDS}


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_any_bytes_are_a_row_or_a_dead_letter(value: bytes, key: bytes) -> None:
    rows, reasons = rows_of([(key, value), (key, RAW.header + value)])
    assert len(rows) + len(reasons) == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (truncated(RAW.encode(raw_event())), DeadReason.NOT_AVRO),
        (unknown_schema(RAW.encode(raw_event())), DeadReason.SCHEMA_ID_UNKNOWN),
        (other_schema(RAW.encode(raw_event())), DeadReason.SCHEMA_MISMATCH),
        (with_invalid_utf8(RAW.encode(raw_event())), DeadReason.INVALID_UTF8),
        (None, DeadReason.NOT_AVRO),
        (RAW.encode(raw_event(event_id="zzz")), DeadReason.FIELD_INVALID),
    ],
    ids=["truncated", "unknown schema", "another topic's schema", "invalid UTF-8", "no value", "bad UUID"],
)
def test_a_bad_record_goes_alone_and_says_why(value: bytes | None, reason: DeadReason) -> None:
    good = [(key_of(raw_event(number)), RAW.encode(raw_event(number))) for number in range(4)]
    rows, reasons = rows_of([*good[:2], (key_of(raw_event()), value), *good[2:]])
    assert reasons == {2: reason}
    assert [row["event_id"] for row in rows.values()] == [made_uuid(f"event {number}") for number in range(4)]


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a/b/v/ann", key_of(raw_event())[:60]])
def test_a_key_that_is_not_the_owners_is_a_dead_letter(key: bytes | None) -> None:
    _, reasons = rows_of([(key, RAW.encode(raw_event()))])
    assert reasons == {0: DeadReason.FIELD_INVALID}


@pytest.mark.parametrize("owners", [1, 2])
def test_a_key_without_a_visitor_is_a_dead_letter_that_says_so(owners: int) -> None:
    events = [raw_event(number, tenant_id=made_uuid(f"tenant {number % owners}")) for number in range(2)]
    pairs: Pairs = [(key_of(events[0]), RAW.encode(events[0])), (three_parts(events[1]), RAW.encode(events[1]))]
    frame, invalid = decode(as_records(pairs), RAW)
    assert frame["index"].to_list() == [0]
    assert [(one.index, one.detail) for one in invalid] == [(1, "the Kafka key names no visitor behind its owner")]


def test_each_record_of_several_owners_has_its_own_owners_key() -> None:
    ours, theirs = raw_event(1), raw_event(2, tenant_id=made_uuid("another tenant"))
    pairs: Pairs = [(key_of(event), RAW.encode(event)) for event in (ours, theirs)]
    assert rows_of(pairs)[1] == {}
    assert rows_of([*pairs, (key_of(ours), RAW.encode(theirs))])[1] == {2: DeadReason.FIELD_INVALID}


def test_a_record_is_named_by_its_first_problem() -> None:
    bad = raw_event(event_id="zzz", tenant_id="")
    _, invalid = decode(as_records([(None, RAW.encode(bad))]), RAW)
    assert [one.detail for one in invalid] == ["event_id is not a UUID"]


def test_an_empty_chunk_is_an_empty_frame() -> None:
    frame, invalid = decode(as_records([]), RAW)
    assert (len(frame), invalid) == (0, [])
    assert {*FIELDS, "key", "source_partition", "source_offset", "index"} == set(frame.columns)
