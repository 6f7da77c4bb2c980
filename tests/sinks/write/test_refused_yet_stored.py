"""What is refused may stand all the same: the table is asked before another token is used."""

from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from schemas.outcomes import DeadReason
from sinks.batching import watermark
from sinks.batching.batch import BadRecord, Batch, Rows
from sinks.errors import RowsRefusedError, WriteFailedError
from sinks.routes import ROUTES
from sinks.write.attempts import Attempts, Way
from sinks.write.delivery import AbandonedError, Delivery
from sinks.write.healing import Healing
from sinks.write.writer import Position, Standing
from tests.sinks.memory import MemoryDeadLetters, MemoryReport, MemoryTable, MemoryView, MemoryWriter

ROWS = 60


def values(numbers: range) -> list[bytes]:
    return [b"value-%d" % number for number in numbers]


def batch(count: int = ROWS, bad: tuple[BadRecord, ...] = (), topic: str = "enriched_events") -> Batch:
    sources = np.array([watermark.pack(1, number) for number in range(count)], np.int64)
    rows = Rows(3, list(range(count)), values(range(count)), [b"k%d" % number for number in range(count)], sources)
    return Batch(topic, 0, 0, count, -1, count, rows, bad, 0, 0, 1, 0.0, False, True)


class Sink:
    """A Delivery into memory."""

    def __init__(
        self,
        writer: MemoryWriter,
        topic: str = "enriched_events",
        heal_bytes_max: int = 1 << 20,
        pause_s_max: float = 0.001,
    ) -> None:
        self.writer = writer
        self.now = 0.0
        self.report = MemoryReport()
        self.dead_letters = MemoryDeadLetters()
        self.abandoned = Event()
        healing = Healing(writer, self.report, heal_bytes_max, 5.0, lambda: self.now)
        way = Way(ROUTES[topic], writer, self.dead_letters, healing)
        self.delivery = Delivery(way, lambda _: [], pause_s_max, 1e9, lambda: 0.0, self.report)

    def send(self, given: Batch) -> None:
        self.delivery.deliver(given, 0.0, self.abandoned)

    def heal(self) -> None:
        self.now += 60.0
        self.delivery.idle()


def test_rows_that_stand_after_a_refusal_that_names_no_view_are_stored() -> None:
    sink = Sink(MemoryWriter(MemoryTable()))
    sink.writer.troubles = [(RowsRefusedError("Code: 6, from nobody knows where", 6), True)]
    sink.send(batch())
    assert sink.writer.table.rows == values(range(ROWS))
    assert sink.dead_letters.published == []
    assert sink.report.failing == [""]


def test_rows_that_do_not_stand_after_a_refusal_are_tried_one_by_one() -> None:
    sink = Sink(MemoryWriter(MemoryTable(), refuses=lambda value: value == b"value-7"))
    sink.send(batch())
    assert sink.writer.table.rows == [value for value in values(range(ROWS)) if value != b"value-7"]
    assert sink.writer.asked <= 2


def test_without_the_question_after_a_refusal_rows_are_doubled_and_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts, "_missing", lambda _self, rows: rows)
    sink = Sink(MemoryWriter(MemoryTable()))
    sink.writer.troubles = [(RowsRefusedError("Code: 6, from nobody knows where", 6), True)]
    sink.send(batch())
    assert len(sink.writer.table.rows) == 2 * ROWS


def test_a_repeat_that_the_views_cannot_bear_would_double_them() -> None:
    view = MemoryView(window=False)
    writer = MemoryWriter(MemoryTable(views=[view]))
    for _ in range(2):
        writer.insert(batch().rows, "a")
    assert len(view.rows) == 2 * ROWS


def test_an_ordinary_batch_asks_nothing() -> None:
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView()])))
    sink.send(batch())
    assert (sink.writer.asked, len(sink.writer.inserts)) == (0, 1)


@pytest.mark.parametrize("named", [b"value-3", b"value-59"])
def test_every_row_of_a_batch_that_a_view_refuses_stands_once(named: bytes) -> None:
    view = MemoryView(fails=named.__eq__)
    sink = Sink(MemoryWriter(MemoryTable(views=[view])))
    sink.send(batch())
    assert sink.writer.table.rows == values(range(ROWS))
    assert len(sink.writer.inserts) == 1
    view.fails = lambda _value: False
    sink.heal()
    sink.heal()
    assert view.rows == values(range(ROWS))
    assert sink.writer.table.rows == values(range(ROWS))


def test_a_view_that_still_fails_is_tried_again_less_and_less_often() -> None:
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView(fails=lambda _value: True)])))
    sink.send(batch())
    for _ in range(40):
        sink.now += 0.5
        sink.delivery.idle()
    assert 4 <= len(sink.writer.inserts) <= 8  # after 1, 1, 2, 4, 5, 5 … s of 20
    assert sink.report.lacking == ROWS


def test_what_waits_for_a_view_is_bounded() -> None:
    size = sum(map(len, values(range(ROWS))))
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView(fails=lambda _value: True)])), heal_bytes_max=2 * size)
    for start in range(3):
        given = batch()
        rows = Rows(3, given.rows.offsets, given.rows.values, given.rows.keys, given.rows.sources + start * ROWS)
        sink.send(Batch("enriched_events", 0, start, start + 1, -1, 0, rows, (), 0, 0, 1, 0.0, False, True))
    assert (sink.report.lacking, sink.report.given_up) == (2 * ROWS, ROWS)


def test_forgotten_tokens_are_not_used_again_for_a_view() -> None:
    view = MemoryView(fails=lambda _value: True)
    sink = Sink(MemoryWriter(MemoryTable(views=[view])))
    sink.send(batch())
    view.fails = lambda _value: False
    sink.writer.table.forget_tokens()
    sink.heal()
    assert sink.writer.table.rows == values(range(ROWS))
    assert (sink.report.given_up, view.rows) == (ROWS, [])


def test_rows_wait_for_a_view_that_is_dropped_and_made_anew() -> None:
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView(fails=lambda _value: True)])))
    sink.send(batch())
    sink.writer.table.views.clear()
    sink.heal()
    assert (sink.report.lacking, len(sink.writer.inserts)) == (ROWS, 1)
    anew = MemoryView()
    sink.writer.table.views.append(anew)
    sink.heal()
    sink.heal()
    assert anew.rows == values(range(ROWS))
    assert (sink.report.lacking, sink.report.given_up, len(sink.writer.inserts)) == (0, 0, 2)


def test_rows_are_sent_again_when_their_view_was_made_anew_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView(fails=lambda _value: True)])))
    sink.send(batch())
    anew, insert = MemoryView(), sink.writer.insert

    def insert_between_drop_and_create(rows: Rows, token: str, despite_views: bool = False) -> None:
        monkeypatch.undo()
        sink.writer.table.views.clear()
        insert(rows, token, despite_views)
        sink.writer.table.views.append(anew)

    monkeypatch.setattr(sink.writer, "insert", insert_between_drop_and_create)
    sink.heal()
    assert (sink.report.lacking, anew.rows) == (ROWS, [])
    sink.heal()
    assert (sink.report.lacking, anew.rows) == (0, values(range(ROWS)))


def test_rows_wait_while_a_view_is_told_of_and_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a moment when it is dropped or made: the table names it, and it is not there."""
    view = MemoryView(fails=lambda _value: True)
    sink = Sink(MemoryWriter(MemoryTable(views=[view])))
    standing = sink.writer.standing

    def standing_half(partition: int, rows: Rows, position: Position | None = None) -> Standing:
        return replace(standing(partition, rows, position), unseen=["view"])

    monkeypatch.setattr(sink.writer, "standing", standing_half)
    sink.send(batch())
    sink.heal()
    assert (sink.report.lacking, sink.report.given_up, len(sink.writer.inserts)) == (ROWS, 0, 1)
    monkeypatch.undo()
    view.fails = lambda _value: False
    sink.heal()
    assert (sink.report.lacking, sink.report.given_up) == (0, 0)
    assert view.rows == values(range(ROWS))


def test_rows_are_counted_when_the_table_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that were found nobody knows even whether there are views; a view that failed is known."""
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView(fails=lambda _value: True)])))
    monkeypatch.setattr(sink.writer, "standing", lambda *_: Standing(unseen=["table"]))
    sink.send(batch())
    assert (sink.report.lacking, sink.report.given_up) == (ROWS, 0)
    sink.heal()
    assert (sink.report.lacking, sink.report.given_up, len(sink.writer.inserts)) == (ROWS, 0, 1)
    sink.send(replace(batch(), doubtful=True))
    assert (sink.report.lacking, sink.report.given_up) == (ROWS, ROWS)


def test_a_view_that_is_gone_already_when_its_failure_is_looked_at_gets_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView(fails=lambda _value: True)])))
    insert = sink.writer.insert

    def insert_and_drop_the_view(rows: Rows, token: str, despite_views: bool = False) -> None:
        monkeypatch.undo()
        try:
            insert(rows, token, despite_views)
        finally:
            sink.writer.table.views.clear()

    monkeypatch.setattr(sink.writer, "insert", insert_and_drop_the_view)
    sink.send(batch())
    anew = MemoryView()
    sink.writer.table.views.append(anew)
    sink.heal()
    assert anew.rows == values(range(ROWS))


def test_rows_of_a_view_that_is_gone_for_good_are_given_up_and_counted() -> None:
    sink = Sink(MemoryWriter(MemoryTable(views=[MemoryView(fails=lambda _value: True), MemoryView("other")])))
    sink.send(batch())
    (gone, other) = sink.writer.table.views
    sink.writer.table.views.remove(gone)
    for _ in range(5):
        sink.heal()
    assert (sink.report.lacking, len(sink.writer.inserts)) == (ROWS, 2)  # the one that is there may have lacked them
    assert other.rows == values(range(ROWS))
    sink.writer.table.forget_tokens()
    sink.heal()
    assert (sink.report.lacking, sink.report.given_up) == (0, ROWS)


def test_rows_are_not_sent_again_to_a_view_that_was_not_there_when_they_were_inserted() -> None:
    view = MemoryView(fails=lambda _value: True)
    sink = Sink(MemoryWriter(MemoryTable(views=[view])))
    sink.send(batch())
    view.fails = lambda _value: False
    strange = MemoryView("filled from the table when it was made", rows=values(range(ROWS)))
    sink.writer.table.views.append(strange)
    sink.heal()
    assert strange.rows == values(range(ROWS))
    assert (sink.report.lacking, sink.report.given_up) == (0, ROWS)


def test_rows_are_not_sent_again_past_a_healthy_view_that_was_altered_in_place() -> None:
    failing, healthy = MemoryView(fails=lambda _value: True), MemoryView("healthy")
    sink = Sink(MemoryWriter(MemoryTable(views=[failing, healthy])))
    sink.send(batch())
    failing.fails = lambda _value: False
    healthy.altered = "SELECT"
    sink.heal()
    assert (healthy.rows, failing.rows) == (values(range(ROWS)), [])
    assert (sink.report.lacking, sink.report.given_up) == (0, ROWS)


def test_a_view_that_failed_and_was_altered_in_place_gets_its_rows() -> None:
    failing, healthy = MemoryView(fails=lambda _value: True), MemoryView("healthy")
    sink = Sink(MemoryWriter(MemoryTable(views=[failing, healthy])))
    sink.send(batch())
    failing.altered, failing.fails = "SELECT", lambda _value: False
    sink.heal()
    assert (healthy.rows, failing.rows) == (values(range(ROWS)), values(range(ROWS)))
    assert (sink.report.lacking, sink.report.given_up) == (0, 0)


def test_a_view_that_may_have_taken_the_rows_before_it_was_altered_is_not_doubled() -> None:
    """An answer was lost: from then on nothing is certain of it any more."""
    failing = MemoryView(fails=lambda _value: True)
    sink = Sink(MemoryWriter(MemoryTable(views=[failing])))
    sink.send(batch())
    failing.fails = lambda _value: False
    sink.writer.troubles = [(WriteFailedError("the answer is lost"), True)]
    sink.heal()
    assert (failing.rows, sink.report.lacking) == (values(range(ROWS)), ROWS)
    failing.altered = "SELECT"
    sink.heal()
    assert (failing.rows, sink.report.given_up) == (values(range(ROWS)), ROWS)


def test_a_bad_record_is_a_dead_letter_once_however_often_its_batch_is_tried() -> None:
    sink = Sink(MemoryWriter(MemoryTable(), refuses=lambda value: value == b"value-7"))
    sink.writer.troubles = [(WriteFailedError("away"), False)] * 50
    bad = BadRecord(99, b"x", None, DeadReason.NOT_AVRO, "")
    sink.send(batch(bad=(bad,)))
    assert sorted(record.offset for _, record in sink.dead_letters.published) == [7, 99]


def test_a_table_whose_type_changed_stops_the_topic_after_a_few_refusals() -> None:
    writer = MemoryWriter(MemoryTable())
    writer.drift_refuses = lambda _value: True
    writer.drifted = "column session_id is UUID, the contract says String"
    sink = Sink(writer)
    stop_after(sink, 3)
    with pytest.raises(AbandonedError):
        sink.send(batch(50_000))
    assert sink.dead_letters.published == []
    assert writer.trials <= 3 * 60
    assert {error.cause for error in sink.report.stops} == {"type_changed"}
    writer.drifted = ""
    sink.abandoned.clear()
    sink.send(batch(50_000))
    assert len(writer.table.rows) == 50_000


def test_a_batch_of_bad_rows_alone_is_set_aside_when_the_table_is_as_it_should_be() -> None:
    sink = Sink(MemoryWriter(MemoryTable(), refuses=lambda _value: True))
    sink.send(batch())
    assert len(sink.dead_letters.published) == ROWS
    assert sink.report.stops == []


@pytest.mark.parametrize("forbids", [False, True])
def test_a_dead_letter_that_its_table_refuses_stops_its_topic_and_makes_no_other(forbids: bool) -> None:
    def is_bad(value: bytes) -> bool:
        return value == b"value-7"

    never = lambda _value: False  # noqa: E731
    writer = MemoryWriter(MemoryTable(), refuses=never if forbids else is_bad, forbids=is_bad if forbids else never)
    sink = Sink(writer, "dead_letters")
    stop_after(sink, 3)
    with pytest.raises(AbandonedError):
        sink.send(batch(topic="dead_letters"))
    assert sink.dead_letters.published == []
    assert {error.cause for error in sink.report.stops} == {"dead_letter_refused"}


def stop_after(sink: Sink, stops: int) -> None:
    """Take its partition away once it has said so often that it is stopped."""
    stopped = sink.report.stopped

    def count(error: object) -> None:
        stopped(error)  # type: ignore[arg-type]
        if len(sink.report.stops) >= stops:
            sink.abandoned.set()

    sink.report.stopped = count  # type: ignore[method-assign]
