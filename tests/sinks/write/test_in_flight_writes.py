"""Batches under way beside the consumer: one suite for the thread and for what stands in for it in the simulation."""

import random
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from sinks.batching.batch import Batch, Rows
from sinks.write.delivery import AbandonedError, Receipt
from sinks.write.thread import InFlightWrite, InFlightWrites, WriteThread
from tests.sinks.memory_group import TOPIC, SimWriteThread
from tests.waiting import wait_until

RECEIPT = Receipt(stored=1, superseded=0, dead=(), found=False, tries=1)


class Deliveries:
    """What is delivered, in order; what ends where it begins fails."""

    def __init__(self) -> None:
        self.delivered: list[tuple[int, float]] = []
        self.failure: Exception = AbandonedError()

    def deliver(self, batch: Batch, planned_at: float, abandoned: Event) -> Receipt:
        assert not abandoned.is_set()
        self.delivered.append((batch.start, planned_at))
        if batch.start == batch.end:
            raise self.failure
        return RECEIPT


Open = Callable[[Deliveries], InFlightWrites]


@pytest.fixture(params=["thread", "simulation"])
def open_writes(request: pytest.FixtureRequest) -> Iterator[Open]:
    opened: list[InFlightWrites] = []

    def open_it(deliveries: Deliveries) -> InFlightWrites:
        sim = request.param == "simulation"
        deliver = deliveries.deliver
        opened.append(SimWriteThread(random.Random(1), deliver) if sim else WriteThread(TOPIC, deliver))
        return opened[-1]

    yield open_it
    for writes in opened:
        writes.close()


def batch(start: int, end: int) -> Batch:
    return Batch(TOPIC, 0, start, end, -1, -1, Rows(1, (), (), ()), (), 0, 0, 0, 0.0, False)


def picked_up(writes: InFlightWrites, count: int) -> list[InFlightWrite]:
    found: list[InFlightWrite] = []

    def all_of_them() -> bool:
        found.extend(writes.finished(0.05))
        return len(found) >= count

    wait_until(all_of_them, lambda: found, poll_s=0.0)
    return found


def test_writes_end_in_the_order_in_which_they_were_started_and_are_in_flight_until_picked_up(
    open_writes: Open,
) -> None:
    deliveries = Deliveries()
    writes = open_writes(deliveries)
    started = [writes.start(batch(number, number + 1), float(number)) for number in range(3)]
    assert writes.in_flight == 3
    assert picked_up(writes, 3) == started
    assert writes.in_flight == 0
    assert deliveries.delivered == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert [(write.receipt, write.error) for write in started] == [(RECEIPT, None)] * 3


@pytest.mark.parametrize("failure", [AbandonedError(), ValueError("a fault of ours")])
def test_a_failure_is_carried_to_who_picks_the_write_up(open_writes: Open, failure: Exception) -> None:
    deliveries = Deliveries()
    deliveries.failure = failure
    writes = open_writes(deliveries)
    writes.start(batch(0, 0), 0.0)
    writes.start(batch(0, 1), 0.0)
    failed, good = picked_up(writes, 2)
    assert (failed.receipt, failed.error) == (None, failure)
    assert (good.receipt, good.error) == (RECEIPT, None)


def test_with_nothing_in_flight_nothing_is_waited_for(open_writes: Open) -> None:
    assert open_writes(Deliveries()).finished(60.0) == []


def test_what_was_handed_over_is_delivered_after_the_end(open_writes: Open) -> None:
    deliveries = Deliveries()
    writes = open_writes(deliveries)
    writes.start(batch(0, 1), 0.0)
    writes.close()
    wait_until(lambda: deliveries.delivered == [(0, 0.0)], lambda: deliveries.delivered)
