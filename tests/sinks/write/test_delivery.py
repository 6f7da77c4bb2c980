"""Whatever the table has and the database answers: each row once, each refused one a dead letter."""

from contextlib import suppress
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outcomes import DeadReason
from sinks.batching import watermark
from sinks.batching.batch import BadRecord, Batch, Rows
from sinks.errors import WriteFailedError
from sinks.routes import ROUTES
from sinks.write.attempts import Way
from sinks.write.delivery import AbandonedError, Delivery
from sinks.write.healing import Healing
from tests.sinks.memory import MemoryDeadLetters, MemoryReport, MemoryTable, MemoryWriter


def value(number: int) -> bytes:
    return b"value-%d" % number


def batch(count: int, doubtful: bool = False, bad: tuple[BadRecord, ...] = (), first: int = 0) -> Batch:
    numbers = range(first, first + count)
    sources = np.array([watermark.pack(1, number) for number in numbers], np.int64)
    rows = Rows(3, list(numbers), [value(number) for number in numbers], [None] * count, sources)
    last = int(sources[-1]) if count else watermark.NONE
    return Batch(
        "enriched_events", 0, first, first + count, watermark.NONE, last, rows, bad, 0, 0, count, 0.0, doubtful
    )


class Dying(MemoryReport):
    """An owner that dies at the first trouble."""

    def __init__(self, abandoned: Event) -> None:
        super().__init__()
        self._abandoned = abandoned

    def database(self, up: bool) -> None:
        if not up:
            self._abandoned.set()


def delivery(
    writer: MemoryWriter,
    dead_letters: MemoryDeadLetters | None = None,
    topic: str = "enriched_events",
    told: MemoryReport | None = None,
    now: float = 0.0,
) -> Delivery:
    report = told or MemoryReport()
    healing = Healing(writer, report, 1 << 20, 5.0, lambda: now)
    way = Way(ROUTES[topic], writer, dead_letters or MemoryDeadLetters(), healing)
    return Delivery(way, lambda values: [None] * len(values), 0.001, 60.0, lambda: now, report)


def values(numbers: range | list[int]) -> list[bytes]:
    return [value(number) for number in numbers]


def test_rows_are_written_in_one_insert_under_the_batchs_token() -> None:
    writer = MemoryWriter(MemoryTable())
    receipt = delivery(writer).deliver(batch(10), 0.0, Event())
    assert writer.inserts == [(batch(10).token, values(range(10)))]
    assert (receipt.stored, receipt.found, receipt.tries, list(receipt.dead)) == (10, False, 1, [])


def test_a_sure_batch_does_not_ask_the_table() -> None:
    class Deaf(MemoryWriter):
        def present(self, partition: int, rows: Rows) -> set[int]:
            raise AssertionError("asked")

    delivery(Deaf(MemoryTable())).deliver(batch(3), 0.0, Event())


def test_a_doubtful_batch_that_is_there_is_not_sent() -> None:
    writer = MemoryWriter(MemoryTable())
    delivery(writer).deliver(batch(10), 0.0, Event())
    receipt = delivery(writer).deliver(batch(10, doubtful=True), 0.0, Event())
    assert len(writer.inserts) == 1
    assert receipt.found
    assert writer.table.rows == values(range(10))


def test_a_batch_whose_plan_is_old_is_looked_for_first() -> None:
    writer = MemoryWriter(MemoryTable())
    delivery(writer).deliver(batch(10), 0.0, Event())
    writer.table.tokens.clear()
    receipt = delivery(writer, now=61.0).deliver(batch(10), 0.0, Event())
    assert receipt.found
    assert writer.table.rows == values(range(10))


def test_of_a_doubtful_batch_only_what_lacks_is_sent_under_the_same_token() -> None:
    writer = MemoryWriter(MemoryTable(sources=[(0, watermark.pack(1, number)) for number in (2, 3, 7)]))
    delivery(writer).deliver(batch(10, doubtful=True), 0.0, Event())
    assert writer.inserts == [(batch(10).token, values([0, 1, 4, 5, 6, 8, 9]))]


def test_rows_that_a_used_token_swallows_are_written_under_another() -> None:
    writer = MemoryWriter(MemoryTable(tokens={batch(10).token}))
    delivery(writer).deliver(batch(10, doubtful=True), 0.0, Event())
    assert writer.table.rows == values(range(10))


@pytest.mark.parametrize("stored", [False, True])
def test_an_insert_of_unknown_outcome_is_repeated_until_the_rows_stand_once(stored: bool) -> None:
    writer = MemoryWriter(MemoryTable())
    writer.troubles = [(WriteFailedError("timeout"), stored), (WriteFailedError("timeout", 159), False)]
    told = MemoryReport()
    receipt = delivery(writer, told=told).deliver(batch(5), 0.0, Event())
    assert writer.table.rows == values(range(5))
    assert receipt.tries == (2 if stored else 3)
    assert told.up == [False] * (receipt.tries - 1) + [True]
    assert {token for token, _ in writer.inserts} == {batch(5).token}


def test_an_abandoned_batch_is_tried_no_more() -> None:
    class Dead(MemoryWriter):
        def insert(self, rows: Rows, token: str, despite_views: bool = False) -> None:
            abandoned.set()
            raise WriteFailedError("away")

    abandoned = Event()
    with pytest.raises(AbandonedError):
        delivery(Dead(MemoryTable())).deliver(batch(5), 0.0, abandoned)
    with pytest.raises(AbandonedError):
        delivery(Dead(MemoryTable())).deliver(batch(5), 0.0, abandoned)


def test_bad_records_are_buried_before_the_rows_are_written() -> None:
    dead_letters = MemoryDeadLetters(failures=2)
    writer = MemoryWriter(MemoryTable())
    bad = BadRecord(3, b"x", b"key", DeadReason.NOT_AVRO, "")
    receipt = delivery(writer, dead_letters).deliver(batch(2, bad=(bad,)), 0.0, Event())
    assert dead_letters.published == [(0, bad)]
    assert list(receipt.dead) == [bad]
    assert receipt.tries == 3
    assert len(writer.inserts) == 1  # none while the dead letter was not durable


def test_a_batch_of_bad_records_alone_writes_no_rows() -> None:
    writer, dead_letters = MemoryWriter(MemoryTable()), MemoryDeadLetters()
    delivery(writer, dead_letters).deliver(
        batch(0, bad=(BadRecord(0, b"x", None, DeadReason.NOT_AVRO, ""),)), 0.0, Event()
    )
    assert writer.inserts == []
    assert len(dead_letters.published) == 1


poisons = st.sets(st.integers(0, 59), max_size=12)


@given(poisons, st.booleans(), st.booleans())
def test_refused_rows_are_dead_letters_and_all_others_stand_once(
    poison: set[int], names_rows: bool, doubtful: bool
) -> None:
    bad_values = {value(number) for number in poison}
    writer = MemoryWriter(MemoryTable(), refuses=bad_values.__contains__, names_rows=names_rows)
    dead_letters = MemoryDeadLetters()
    receipt = delivery(writer, dead_letters).deliver(batch(60, doubtful), 0.0, Event())
    assert writer.table.rows == values([number for number in range(60) if number not in poison])
    assert [record.offset for _, record in dead_letters.published] == sorted(poison)
    assert {record.reason for _, record in dead_letters.published} <= {DeadReason.ROW_REFUSED}
    assert receipt.stored == 60 - len(poison)
    assert len(writer.table.tokens) == (1 if len(poison) < 60 else 0)


@given(poisons, poisons)
def test_rows_that_only_the_table_refuses_are_found_by_writing_the_others(
    poison: set[int], forbidden: set[int]
) -> None:
    writer = MemoryWriter(
        MemoryTable(),
        refuses={value(number) for number in poison}.__contains__,
        forbids={value(number) for number in forbidden}.__contains__,
    )
    dead_letters = MemoryDeadLetters()
    delivery(writer, dead_letters).deliver(batch(60), 0.0, Event())
    assert sorted(writer.table.rows) == sorted(values([n for n in range(60) if n not in poison | forbidden]))
    assert {record.offset for _, record in dead_letters.published} == poison | forbidden


@given(poisons, st.lists(st.booleans(), max_size=5), st.booleans())
def test_a_poisoned_batch_done_again_after_any_crash_stands_once(
    poison: set[int], troubles: list[bool], forgotten: bool
) -> None:
    table = MemoryTable()
    bad_values = {value(number) for number in poison}
    for stored in troubles:  # each an owner that dies at its first insert that is not refused
        crashing = MemoryWriter(table, refuses=bad_values.__contains__)
        crashing.troubles = [(WriteFailedError("killed"), stored)]
        abandoned = Event()
        dying = delivery(crashing, told=Dying(abandoned))
        with suppress(AbandonedError):
            dying.deliver(batch(60, doubtful=True), 0.0, abandoned)
        if forgotten:
            table.tokens.clear()
    final = MemoryWriter(table, refuses=bad_values.__contains__)
    delivery(final).deliver(batch(60, doubtful=True), 0.0, Event())
    assert sorted(table.rows) == sorted(values([number for number in range(60) if number not in poison]))


def test_only_the_newest_version_of_a_key_is_sent_and_the_others_are_counted() -> None:
    writer = MemoryWriter(MemoryTable())
    rows = Rows(4, [0, 1, 2], [b"1", b"9", b"5"], [b"a", b"a", b"b"])
    given_batch = Batch("sessions", 0, 0, 3, -1, -1, rows, (), 0, 0, 3, 0.0, False)
    healing = Healing(writer, MemoryReport(), 1 << 20, 5.0, lambda: 0.0)
    way = Way(ROUTES["sessions"], writer, MemoryDeadLetters(), healing)
    sessions = Delivery(way, lambda found: [int(item) for item in found], 0.001, 60.0, lambda: 0.0, MemoryReport())
    receipt = sessions.deliver(given_batch, 0.0, Event())
    assert writer.table.rows == [b"9", b"5"]
    assert (receipt.stored, receipt.superseded) == (2, 1)
