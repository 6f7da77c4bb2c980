"""What a restore takes at once is what it would have taken record by record."""

import hypothesis.strategies as st
from hypothesis import given

from streams.runtime.newest import Newest, takes_back, tombstone_headers
from streams.runtime.shard import Scopes, Shard
from streams.sessions.state import encode_state, new_state
from tests.streams.world import Record


def value_of(applied: int, active_ms: int) -> bytes:
    """A state's bytes."""
    state = new_state()
    state.applied, state.active_ms = applied, active_ms
    return encode_state(state)


def record_of(offset: int, key: bytes, applied: int, kind: str) -> Record:
    """A value of today, one of before there were versions, or one of three tombstones."""
    if kind == "tombstone":
        return Record(offset, key, None)
    if kind in ("buried", "taken back"):
        headers = tombstone_headers(applied) if kind == "buried" else takes_back(applied)
        return Record(offset, key, None, tuple(headers))
    value = value_of(applied, offset)
    return Record(offset, key, value[1:] if kind == "unversioned" else value)


KINDS = st.sampled_from(["value"] * 6 + ["unversioned", "tombstone", "buried", "taken back"])
CHANGES = st.tuples(st.sampled_from([b"t/p/v/a", b"t/p/v/b", b"t/p/v/c", b"d"]), st.integers(-1, 5), KINDS)
CHUNKS = st.lists(st.tuples(st.lists(CHANGES, max_size=6), st.booleans()), max_size=5)


@given(CHUNKS)
def test_chunks_are_applied_as_their_records_one_by_one(
    chunks: list[tuple[list[tuple[bytes, int, str]], bool]],
) -> None:
    at_once, singly = Newest(Shard(Scopes())), Newest(Shard(Scopes()))
    offset = 0
    for changes, is_written in chunks:
        records = [record_of(offset + index, *change) for index, change in enumerate(changes)]
        offset += len(records)
        for record in at_once.take_new(records):
            at_once.apply(record.key or b"", record.value, record.headers)
        for record in records:
            singly.apply(record.key or b"", record.value, record.headers)
        if is_written:
            for newest in (at_once, singly):
                newest.written([key for key, _, _ in newest.owed()])
        assert at_once.values == singly.values
        assert (at_once.outdone, at_once.highest) == (singly.outdone, singly.highest)
        assert sorted(at_once.owed()) == sorted(singly.owed())


def test_values_of_unknown_keys_are_taken_at_once() -> None:
    newest = Newest(Shard(Scopes()))
    records = [Record(index, b"t/p/v/%d" % index, value_of(index, 0)) for index in range(100)]
    assert newest.take_new(records) == []
    again = [Record(100, b"t/p/v/7", value_of(100, 0)), Record(101, b"t/p/v/new", value_of(101, 0))]
    assert newest.take_new(again) == again[:1]


def test_nothing_is_taken_of_records_with_one_that_cannot_be_read() -> None:
    newest = Newest(Shard(Scopes()))
    for unreadable in (b"", b"\1", b"\1" + bytes(15), b"\0" + bytes(20), b"\xff" + bytes(20)):
        records = [Record(0, b"a", value_of(1, 1)), Record(1, b"b", unreadable)]
        assert newest.take_new(records) == records
        assert newest.values == {}
