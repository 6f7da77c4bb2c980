"""A topic that waits for somebody: what sets a row aside meanwhile, how often it looks, what a look costs."""

from collections.abc import Callable
from threading import Event

import pytest

from sinks.errors import WriteFailedError
from sinks.write.delivery import AbandonedError
from tests.sinks.memory import MemoryTable, MemoryWriter
from tests.sinks.write.test_refused_yet_stored import ROWS, Sink, batch, stop_after, values


class Waits(Event):
    """A partition that stays: counts the waits, sleeps for none, and runs `then` after so many."""

    def __init__(self, after: int, then: Callable[[], None]) -> None:
        super().__init__()
        self.longest_s = 0.0
        self.count = 0
        self._after = after
        self._then = then

    def wait(self, timeout: float | None = None) -> bool:
        self.count += 1
        self.longest_s = max(self.longest_s, timeout or 0.0)
        if self.count == self._after:
            self._then()
        return False


def test_a_type_changed_back_is_seen_within_five_seconds_and_waiting_for_it_costs_one_query_a_look() -> None:
    writer = MemoryWriter(MemoryTable())
    writer.drift_refuses = lambda _value: True
    writer.drifted = "column session_id is UUID, the contract says String"
    sink = Sink(writer, pause_s_max=3_600.0)
    seen: list[tuple[int, int]] = []

    def change_back() -> None:
        writer.drifted = ""
        seen.append((waits.count, len(writer.inserts)))

    waits = Waits(300, change_back)
    sink.delivery.deliver(batch(), 0.0, waits)
    assert waits.longest_s == 5.0
    assert seen[0][1] <= 2 * 14  # tries of two INSERTs each, as the pauses double: not one for each look
    assert (waits.count, len(writer.inserts)) == (seen[0][0], seen[0][1] + 1)  # the next look is enough
    assert writer.table.rows == values(range(ROWS))
    assert sink.dead_letters.published == []


def test_an_ordinary_outage_is_waited_for_with_growing_pauses() -> None:
    writer = MemoryWriter(MemoryTable())
    writer.troubles = [(WriteFailedError("away"), False)] * 20
    waits = Waits(0, lambda: None)
    Sink(writer, pause_s_max=30.0).delivery.deliver(batch(), 0.0, waits)
    assert (waits.longest_s, writer.looks) == (30.0, 0)


def test_a_dead_letter_that_its_table_refuses_is_tried_again_every_five_seconds() -> None:
    writer = MemoryWriter(MemoryTable(), refuses=lambda value: value == b"value-7")
    sink = Sink(writer, "dead_letters", pause_s_max=3_600.0)

    def mend() -> None:
        writer._refuses = lambda _value: False

    waits = Waits(40, mend)
    sink.delivery.deliver(batch(topic="dead_letters"), 0.0, waits)
    assert (waits.count, waits.longest_s) == (40, 5.0)
    assert writer.table.rows == values(range(ROWS))


@pytest.mark.parametrize("given", [range(ROWS), range(7, 8)])
def test_only_rows_that_the_contract_refuses_are_dead_letters_of_a_table_whose_type_changed(given: range) -> None:
    writer = MemoryWriter(MemoryTable(), refuses=lambda value: value == b"value-3")
    writer.drifted = "column session_id is UUID, the contract says String"
    writer.drift_refuses = {b"value-%d" % number for number in given}.__contains__
    sink = Sink(writer)
    stop_after(sink, 3)
    with pytest.raises(AbandonedError):
        sink.send(batch())
    assert {bad.offset for _, bad in sink.dead_letters.published} == {3}
    writer.drifted = ""
    sink.abandoned.clear()
    sink.send(batch())
    assert writer.table.rows == [value for value in values(range(ROWS)) if value != b"value-3"]


def test_a_constraint_is_no_matter_of_a_type_that_refuses_nothing() -> None:
    writer = MemoryWriter(MemoryTable(), forbids=lambda value: value == b"value-7")
    writer.drifted = "column session_id is LowCardinality(String), the contract says String"
    sink = Sink(writer)
    sink.send(batch())
    assert [bad.offset for _, bad in sink.dead_letters.published] == [7]
    assert sink.report.stops == []
