"""Partitions change hands in the middle of the work: each source offset stands in the table once."""

import time

from tests.sinks.records import framed
from tests.sinks.rig import PARTITIONS, SinkRig

SLICE = 40
SLICES = 25
KEPT = 'tally_sinks_records_total{outcome="keep",reason="",topic="enriched_events"}'


def produce_slowly(rig: SinkRig, first: int, last: int) -> None:
    """Slices of events into both partitions, a little apart, so that there is work at any moment."""
    for number in range(first, last):
        for partition in range(PARTITIONS):
            offsets = range(number * SLICE, (number + 1) * SLICE)
            rig.produce("enriched_events", [framed(offset, partition) for offset in offsets], partition)
        time.sleep(0.05)


def expected(slices: int) -> list[tuple[int, int, int]]:
    return [(1, partition, offset) for partition in range(PARTITIONS) for offset in range(slices * SLICE)]


def test_a_second_consumer_comes_and_the_first_goes(rig: SinkRig) -> None:
    rig.found_group()
    first = rig.sink(sinks_instance_id=None, sinks_flush_age_ms_max=50)
    second = rig.sink(sinks_instance_id=None, sinks_flush_age_ms_max=50)
    first.start()
    produce_slowly(rig, 0, SLICES)
    second.start()
    rig.wait_for_shares(1, 1)
    produce_slowly(rig, SLICES, 2 * SLICES)
    assert first.terminate() == 0
    produce_slowly(rig, 2 * SLICES, 3 * SLICES)
    rig.wait_for_acknowledgement([3 * SLICES * SLICE] * PARTITIONS)
    assert rig.sources() == expected(3 * SLICES)
    assert second.metric(KEPT) > 0


def test_the_survivor_takes_over_from_a_killed_consumer(rig: SinkRig) -> None:
    rig.found_group()
    first = rig.sink(sinks_instance_id=None, sinks_flush_age_ms_max=50)
    second = rig.sink(sinks_instance_id=None, sinks_flush_age_ms_max=50)
    first.start()
    second.start()
    rig.wait_for_shares(1, 1)
    produce_slowly(rig, 0, SLICES)
    rig.wait_until(lambda: first.metric(KEPT) > 0 and second.metric(KEPT) > 0, rig.shares)
    first.kill()
    produce_slowly(rig, SLICES, 2 * SLICES)
    rig.wait_for_acknowledgement([2 * SLICES * SLICE] * PARTITIONS)
    assert rig.sources() == expected(2 * SLICES)


def test_a_consumer_that_was_suspended_and_lost_its_partitions_writes_nothing_twice(rig: SinkRig) -> None:
    rig.found_group()
    first = rig.sink(sinks_instance_id=None, sinks_flush_age_ms_max=50)
    second = rig.sink(sinks_instance_id=None, sinks_flush_age_ms_max=50)
    first.start()
    produce_slowly(rig, 0, SLICES)
    first.suspend()
    second.start()
    produce_slowly(rig, SLICES, 2 * SLICES)
    rig.wait_for_acknowledgement([2 * SLICES * SLICE] * PARTITIONS)
    first.resume()
    produce_slowly(rig, 2 * SLICES, 3 * SLICES)
    rig.wait_for_word(first, "partitions assigned", times=2)
    produce_slowly(rig, 3 * SLICES, 4 * SLICES)
    rig.wait_for_acknowledgement([4 * SLICES * SLICE] * PARTITIONS)
    assert rig.sources() == expected(4 * SLICES)
    assert first.said("partitions lost")
