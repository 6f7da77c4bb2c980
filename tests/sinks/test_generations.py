"""raw_events, or a topic of its own, begins anew: what is new is not taken for what was."""

import signal

from tests.sinks.records import framed
from tests.sinks.rig import PARTITIONS, SinkRig

ROWS = 50


def values(generation: int, count: int = ROWS, first: int = 0) -> list[bytes]:
    return [framed(offset, generation=generation) for offset in range(first, count)]


def expected(*generations: int) -> list[tuple[int, int, int]]:
    return [(generation, 0, offset) for generation in generations for offset in range(ROWS)]


def test_offsets_that_start_again_in_a_new_generation_are_no_repeats(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", [*values(1), *values(2, 30), *values(2, ROWS, first=20), *values(3)])
    sink = rig.sink()
    sink.start()
    rig.wait_for_acknowledgement([3 * ROWS + 10, 0])
    assert rig.sources() == expected(1, 2, 3)
    assert sink.metric('tally_sinks_records_total{outcome="drop",reason="replayed",topic="enriched_events"}') == 10


def test_a_generation_is_remembered_over_a_restart(rig: SinkRig) -> None:
    rig.found_group()
    sink = rig.sink()
    sink.start()
    rig.produce("enriched_events", [*values(1), *values(2)])
    rig.wait_for_acknowledgement([2 * ROWS, 0])
    assert sink.terminate() == 0
    rig.produce("enriched_events", [*values(1), *values(2), *values(3)])
    sink.start()
    rig.wait_for_acknowledgement([5 * ROWS, 0])
    assert rig.sources() == expected(1, 2, 3)


def test_a_recreated_topic_is_read_from_its_beginning_while_the_sink_is_down(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", [*values(1), *values(1)])
    sink = rig.sink()
    sink.start()
    rig.wait_for_acknowledgement([2 * ROWS, 0])
    assert sink.terminate() == 0
    rig.kafka.recreate("enriched_events", PARTITIONS)
    rig.produce("enriched_events", values(2))
    assert rig.kafka.ends("enriched_events") == [ROWS, 0]
    sink.start()
    rig.wait_for_acknowledgement([ROWS, 0])
    assert rig.sources() == expected(1, 2)


def test_a_recreated_topic_is_read_from_its_beginning_while_the_sink_runs(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", [*values(1), *values(1)])
    rig.sink().start()
    rig.wait_for_acknowledgement([2 * ROWS, 0])
    rig.kafka.recreate("enriched_events", PARTITIONS)
    rig.produce("enriched_events", values(2))
    assert rig.kafka.ends("enriched_events") == [ROWS, 0]
    # The broker forgets the offsets of a deleted topic: partition 1 has none until it has records.
    rig.wait_until(lambda: rig.committed("enriched_events")[0][0] == ROWS, lambda: rig.committed("enriched_events"))
    assert rig.sources() == expected(1, 2)


def test_offsets_reset_by_hand_double_nothing_and_fill_what_lacks(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", values(1, 30) + values(1, ROWS, first=20))
    sink = rig.sink(sinks_flush_rows_max=20, sinks_instance_id=None)
    sink.start()
    rig.wait_for_acknowledgement([ROWS + 10, 0])
    assert sink.terminate() == 0
    rig.query("ALTER TABLE {db}.events DELETE WHERE source_offset BETWEEN 5 AND 8 SETTINGS mutations_sync = 1")
    assert rig.rows() == ROWS - 4
    rig.reset_offsets(0)
    sink.start()
    rig.wait_for_acknowledgement([ROWS + 10, 0])
    assert rig.sources() == expected(1)


def test_doubt_after_a_reset_outlives_a_restart(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", values(1))
    rig.query("ALTER TABLE {db}.events MODIFY SETTING non_replicated_deduplication_window = 1")
    sink = rig.sink(sinks_flush_rows_max=10, sinks_instance_id=None)
    sink.start()
    rig.wait_for_acknowledgement([ROWS, 0])
    assert sink.terminate() == 0
    rig.reset_offsets(0)
    sink.extra_environ = {"SINKS_FAILPOINT": "after_plan:kill:3"}
    sink.launch()
    assert sink.wait_ended() == -signal.SIGKILL
    sink.extra_environ = {}
    sink.start()
    rig.wait_for_acknowledgement([ROWS, 0])
    assert rig.sources() == expected(1)
