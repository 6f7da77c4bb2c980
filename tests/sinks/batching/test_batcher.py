"""Batches are cut by offset, and whoever reads the same range again gets the same batch."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outcomes import DeadReason
from sinks.batching import watermark
from sinks.batching.batch import Batch
from sinks.batching.batcher import Batcher, Limits, Resumption
from sinks.batching.commit_metadata import CommitMetadata
from sinks.batching.filter import RecordFilter
from tests.sinks.records import codec, framed

ID = codec("enriched_events").schema_id
OTHER_ID = 1003
UNKNOWN_ID = 9999
LIMITS = Limits(rows_max=5, bytes_max=1 << 20)
AGE_S = 10.0
PARTITION = 0


@dataclass(frozen=True)
class Record:
    """What stands on the topic at an offset: of a known schema, unknown, or nothing (None: a tombstone)."""

    offset: int
    value: bytes | None


def verdict(schema_id: int) -> tuple[DeadReason, str] | None:
    return None if schema_id in (ID, OTHER_ID) else (DeadReason.SCHEMA_ID_UNKNOWN, f"{schema_id}")


def batcher(
    offset: int = 0, plan: CommitMetadata | None = None, limits: Limits = LIMITS, exactly_once: bool = True
) -> Batcher:
    record_filter = RecordFilter(PARTITION, exactly_once, verdict)
    return Batcher(
        "enriched_events", PARTITION, record_filter, limits, Resumption(offset, plan or CommitMetadata(None))
    )


def event_value(source: int, generation: int, schema_id: int) -> bytes:
    return struct.pack(">bI", 0, schema_id) + framed(source, PARTITION, generation)[5:]


events = st.builds(
    event_value, st.integers(0, 30), st.sampled_from([1, 1, 1, 2]), st.sampled_from([ID, ID, ID, OTHER_ID, UNKNOWN_ID])
)
values = st.one_of(events, events, events, st.just(b"no avro"), st.none(), st.just(framed(3, partition=7)))


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A partition's log: offsets rise, here and there with a gap."""
    offset, log = draw(st.integers(0, 100)), []
    for value in draw(st.lists(values, min_size=1, max_size=40)):
        log.append(Record(offset, value))
        offset += draw(st.sampled_from([1, 1, 1, 1, 3]))
    return log


def feed(target: Batcher, log: Sequence[Record], cuts: Sequence[int], now: float = 0.0) -> None:
    """Give the log in fetches of these sizes, the last one with all that is left."""
    done = 0
    for size in [*cuts, len(log)]:
        fetch = log[done : done + size]
        done += size
        if fetch:
            keys = [b"%d" % record.offset for record in fetch]
            target.add([record.offset for record in fetch], [record.value for record in fetch], keys, now)


def taken(target: Batcher, now: float) -> list[Batch]:
    batches = []
    while target.due(now, AGE_S):
        batches.append(target.take(now))
    return batches


def everything(target: Batcher) -> list[Batch]:
    return [*taken(target, 1e9), target.take(1e9)]


def as_oracle(log: Sequence[Record]) -> tuple[list[int], list[int]]:
    """Offsets of rows and of bad records, by the rule applied one by one."""
    mark, rows, bad = watermark.NONE, [], []
    by_value = {event_value(n, g, i): (n, g) for n in range(31) for g in (1, 2) for i in (ID, OTHER_ID)}
    for record in log:
        source = by_value.get(record.value or b"")
        if source is None:
            bad.append(record.offset)
        elif (packed := watermark.pack(source[1], source[0])) > mark:
            mark = packed
            rows.append(record.offset)
    return rows, bad


sizes = st.lists(st.integers(1, 9), max_size=8)


@given(logs(), sizes)
def test_every_record_is_a_row_or_bad_or_a_repeat_and_in_order(log: list[Record], cuts: list[int]) -> None:
    target = batcher(log[0].offset)
    feed(target, log, cuts)
    batches = everything(target)
    rows, bad = as_oracle(log)
    assert [offset for batch in batches for offset in batch.rows.offsets] == rows
    assert [record.offset for batch in batches for record in batch.bad] == bad
    assert all(record.key == b"%d" % record.offset for batch in batches for record in batch.bad)
    assert all(list(batch.rows.keys) == [b"%d" % offset for offset in batch.rows.offsets] for batch in batches)
    assert sum(batch.replayed for batch in batches) == len(log) - len(rows) - len(bad)
    assert target.size == 0


@given(logs(), sizes)
def test_batches_are_contiguous_and_bounded_and_of_one_kind(log: list[Record], cuts: list[int]) -> None:
    target = batcher(log[0].offset)
    feed(target, log, cuts)
    start = log[0].offset
    for batch in everything(target):
        assert batch.start == start
        assert batch.start <= batch.end
        assert len(batch.rows) <= LIMITS.rows_max
        assert len({value[:5] for value in batch.rows.values}) <= 1
        assert len({watermark.generation_of(source) for source in batch.rows.sources.tolist()}) <= 1
        assert all(batch.start <= offset < batch.end for offset in batch.rows.offsets)
        assert all(batch.start <= record.offset < batch.end for record in batch.bad)
        start = batch.end
    assert start == log[-1].offset + 1


@given(logs(), sizes, sizes, st.integers(1, 7))
def test_a_planned_batch_read_again_is_the_same_batch(
    log: list[Record], cuts: list[int], other_cuts: list[int], rows_max: int
) -> None:
    first = batcher(log[0].offset)
    feed(first, log, cuts)
    for batch in everything(first):
        if batch.is_void:
            continue
        plan = CommitMetadata(batch.end, batch.watermark)
        again = batcher(batch.start, plan, Limits(rows_max, 1))
        rest = [record for record in log if record.offset >= batch.start]
        feed(again, rest, other_cuts)
        again.reached(log[-1].offset + 1, 0.0)
        redone = again.take(0.0)
        assert (redone.start, redone.end, redone.token) == (batch.start, batch.end, batch.token)
        assert redone.rows.offsets == batch.rows.offsets
        assert redone.rows.values == batch.rows.values
        assert redone.rows.keys == batch.rows.keys
        assert redone.bad == batch.bad
        assert redone.watermark_after == batch.watermark_after
        assert redone.doubtful


@given(logs(), sizes, st.integers(0, 39))
def test_after_a_plan_the_rest_follows_as_if_nothing_had_happened(log: list[Record], cuts: list[int], at: int) -> None:
    end = log[min(at, len(log) - 1)].offset + 1
    first = batcher(log[0].offset)
    feed(first, [record for record in log if record.offset < end], [])
    before = everything(first)
    resumed = batcher(end, CommitMetadata(None, before[-1].watermark_after))
    feed(resumed, [record for record in log if record.offset >= end], cuts)
    offsets = [offset for batch in [*before, *everything(resumed)] for offset in batch.rows.offsets]
    assert offsets == as_oracle(log)[0]


def rising(count: int, start: int = 0) -> list[Record]:
    return [Record(start + number, event_value(number, 1, ID)) for number in range(count)]


def test_a_batch_is_due_by_age_not_before() -> None:
    target = batcher()
    feed(target, rising(2), [], now=100.0)
    assert not target.due(100.0 + AGE_S - 0.01, AGE_S)
    assert target.due(100.0 + AGE_S, AGE_S)
    assert target.take(111.0).end == 2
    assert not target.due(1e9, AGE_S)


def test_a_full_batch_is_due_at_once() -> None:
    target = batcher()
    feed(target, rising(5), [])
    assert [batch.end for batch in taken(target, 0.0)] == [5]


@pytest.mark.parametrize("cuts", [[], [1], [2], [1, 1, 1]])
@pytest.mark.parametrize(("generation", "schema_id"), [(2, ID), (1, OTHER_ID), (2, OTHER_ID)])
def test_rows_of_another_schema_or_generation_begin_a_batch(generation: int, schema_id: int, cuts: list[int]) -> None:
    kinds = [(0, 1, ID), (1, 1, ID), (2, generation, schema_id), (3, generation, schema_id)]
    target = batcher()
    feed(target, [Record(offset, event_value(*kind)) for offset, kind in enumerate(kinds)], cuts)
    assert [(batch.start, batch.end, len(batch.rows)) for batch in everything(target)][:2] == [(0, 2, 2), (2, 4, 2)]


def test_the_same_offsets_of_a_topic_made_anew_have_another_token() -> None:
    first, again = batcher(), batcher()
    feed(first, rising(3), [])
    feed(again, [Record(number, event_value(number + 1, 1, ID)) for number in range(3)], [])
    (before, *_), (after, *_) = everything(first), everything(again)
    assert (before.start, before.end, before.generation) == (after.start, after.end, after.generation)
    assert before.token != after.token


def test_a_batch_is_full_by_bytes() -> None:
    target = batcher(limits=Limits(1000, 900))
    feed(target, rising(6), [2, 2, 2])
    assert [len(batch.rows) for batch in taken(target, 0.0)] == [2, 2, 2]


def test_a_planned_batch_is_not_due_before_its_end_however_old_or_large() -> None:
    target = batcher(0, CommitMetadata(50), Limits(5, 10))
    feed(target, rising(49), [10, 10], now=0.0)
    assert not target.due(1e9, AGE_S)
    assert target.is_redoing
    feed(target, rising(51)[49:], [])
    assert target.take(0.0).end == 50


def test_a_planned_end_in_a_gap_of_the_log_is_still_the_end() -> None:
    target = batcher(0, CommitMetadata(10))
    feed(target, [*rising(3), *rising(2, start=40)], [3])
    assert target.take(0.0).end == 10
    assert target.take(1e9).start == 10


def test_a_planned_end_at_the_end_of_the_log_is_reached_without_a_record() -> None:
    target = batcher(0, CommitMetadata(10))
    feed(target, rising(3), [])
    target.reached(9, 0.0)
    assert not target.due(1e9, AGE_S)
    target.reached(10, 0.0)
    assert target.take(0.0).end == 10


def test_batches_below_the_doubtful_end_are_doubtful_and_no_others() -> None:
    target = batcher(0, CommitMetadata(None, doubt_end=6))
    feed(target, rising(20), [])
    assert [batch.doubtful for batch in everything(target)][:3] == [True, True, False]


def test_a_topic_that_begins_anew_is_read_from_its_beginning() -> None:
    target = batcher(5000, CommitMetadata(6000, watermark.pack(1, 700)))
    target.restart(0, 0.0)
    feed(target, [Record(0, event_value(0, 2, ID))], [])
    (batch,) = taken(target, 1e9)
    assert (batch.start, batch.end, batch.rows.offsets) == (0, 1, [0])


def test_what_is_held_when_a_topic_begins_anew_is_still_written() -> None:
    target = batcher(100)
    feed(target, rising(3, start=100), [])
    target.restart(0, 0.0)
    feed(target, [Record(0, event_value(0, 2, ID))], [])
    assert [(batch.start, batch.end) for batch in taken(target, 1e9)] == [(100, 103), (0, 1)]


def test_repeats_alone_make_a_void_batch_at_once() -> None:
    target = batcher(10, CommitMetadata(None, watermark.pack(1, 30)))
    feed(target, rising(8, start=10), [])
    batch = target.take(0.0)
    assert batch.is_void
    assert (batch.start, batch.end, batch.replayed) == (10, 18, 8)
    assert batch.watermark_after == watermark.pack(1, 30)


def test_a_tombstone_of_an_upsert_topic_is_no_row_and_no_dead_letter() -> None:
    target = batcher(exactly_once=False)
    target.add([0, 1], [framed(0), None], [b"a", b"b"], 0.0)
    batch = target.take(1e9)
    assert (batch.rows.offsets, batch.rows.keys, list(batch.bad), batch.empty) == ([0], [b"a"], [], 1)


def test_the_same_record_twice_is_two_rows_of_an_upsert_topic() -> None:
    target = batcher(exactly_once=False)
    target.add([0, 1], [framed(4), framed(4)], [b"a", b"a"], 0.0)
    assert target.take(1e9).rows.offsets == [0, 1]
