"""kill -9 at each failpoint: every source offset stands in the table once."""

import signal

import pytest

from sinks.failpoints import NAMES, VARIABLE
from tests.chaos.counters import BY_TOKEN, Counters
from tests.sinks.records import framed
from tests.sinks.rig import PARTITIONS, Sink, SinkRig

ROWS = 600


def expected(partitions: int = PARTITIONS) -> list[tuple[int, int, int]]:
    return [(1, partition, offset) for partition in range(partitions) for offset in range(ROWS)]


def with_repeats(partition: int) -> list[bytes]:
    """What streams leave behind that were killed: some stretches stand twice."""
    values = [framed(offset, partition) for offset in range(ROWS)]
    return values[:200] + values[150:400] + values[390:]


RECORDS = ROWS + 60


def recognised(rig: SinkRig) -> int:
    """What ClickHouse has recognised by its token, as the chaos run counts it."""
    counters = Counters()
    counters.read_database(rig.clickhouse)
    return counters.totals()[BY_TOKEN]


def killed(sink: Sink, failpoint: str) -> None:
    """Start the sink, and see it die there."""
    sink.extra_environ |= {VARIABLE: failpoint}
    sink.launch()
    assert sink.wait_ended() == -signal.SIGKILL
    del sink.extra_environ[VARIABLE]


@pytest.mark.parametrize("name", NAMES)
def test_a_kill_at_a_failpoint_costs_no_row_and_doubles_none(rig: SinkRig, name: str) -> None:
    rig.found_group()
    for partition in range(PARTITIONS):
        rig.produce("enriched_events", with_repeats(partition), partition)
    sink = rig.sink(sinks_flush_rows_max=100)
    killed(sink, f"{name}:kill:{1 if name == 'before_commit' else 3}")
    sink.start()
    rig.wait_for_acknowledgement([RECORDS] * PARTITIONS)
    assert rig.sources() == expected()
    assert sink.terminate() == 0


def test_repeated_kills_cost_no_row_and_double_none(rig: SinkRig) -> None:
    rig.found_group()
    for partition in range(PARTITIONS):
        rig.produce("enriched_events", with_repeats(partition), partition)
    sink = rig.sink(sinks_flush_rows_max=50)
    for name in ("after_insert", "during_insert", "after_plan", "before_insert", "after_insert"):
        killed(sink, f"{name}:kill:2")
    sink.start()
    rig.wait_for_acknowledgement([RECORDS] * PARTITIONS)
    assert rig.sources() == expected()


def test_without_table_and_token_a_kill_after_the_insert_doubles_rows(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", with_repeats(0))
    sink = rig.sink(program="tests.sinks.forgetful", sinks_flush_rows_max=100)
    sink.extra_environ = {"FORGET": "tokens"}
    known = recognised(rig)
    killed(sink, "after_insert:kill:2")
    sink.start()
    rig.wait_for_acknowledgement([RECORDS, 0])
    assert recognised(rig) == known
    assert len(rig.sources()) == ROWS + 100
    assert len(set(rig.sources())) == ROWS


def test_a_redone_batch_is_the_same_batch_so_that_its_token_alone_keeps_it_single(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", with_repeats(0)[:150])
    sink = rig.sink(program="tests.sinks.forgetful")
    sink.extra_environ = {"FORGET": "table"}
    killed(sink, "after_insert:kill:1")
    ((_, plan), _) = rig.committed("enriched_events")
    assert plan is not None
    assert plan.end == 150
    rig.produce("enriched_events", with_repeats(0)[150:])
    known = recognised(rig)
    sink.start()
    rig.wait_for_acknowledgement([RECORDS, 0])
    assert rig.sources() == expected(1)
    assert recognised(rig) > known


def test_without_the_watermark_repeats_become_rows(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", with_repeats(0))
    sink = rig.sink(program="tests.sinks.forgetful")
    sink.extra_environ = {"FORGET": "watermark"}
    sink.start()
    rig.wait_for_acknowledgement([RECORDS, 0])
    assert len(rig.sources()) == RECORDS


def test_a_redone_batch_stands_once_though_its_token_is_forgotten(rig: SinkRig) -> None:
    rig.found_group()
    rig.query("ALTER TABLE {db}.events MODIFY SETTING non_replicated_deduplication_window = 1")
    rig.produce("enriched_events", with_repeats(0))
    sink = rig.sink(sinks_flush_rows_max=100)
    killed(sink, "after_insert:kill:2")
    assert rig.rows() == 200
    for other in range(3):  # other inserts push the token out of the window of one
        rig.query(
            "INSERT INTO {db}.events (source_partition, source_offset, source_generation, timestamp) "
            f"VALUES (9, {other}, 9, now())"
        )
    sink.start()
    rig.wait_for_acknowledgement([RECORDS, 0])
    assert [source for source in rig.sources() if source[0] == 1] == expected(1)


def test_an_answer_lost_after_the_insert_doubles_nothing(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", with_repeats(0))
    sink = rig.sink(sinks_flush_rows_max=100)
    sink.extra_environ = {VARIABLE: "after_insert:drop:2"}
    sink.start()
    rig.wait_for_acknowledgement([RECORDS, 0])
    assert rig.sources() == expected(1)
    assert sink.metric('tally_sinks_batches_total{outcome="already_there",topic="enriched_events"}') == 1


def test_a_connection_lost_during_the_insert_doubles_nothing(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce("enriched_events", with_repeats(0))
    sink = rig.sink(sinks_flush_rows_max=100)
    sink.extra_environ = {VARIABLE: "during_insert:drop:2"}
    sink.start()
    rig.wait_for_acknowledgement([RECORDS, 0])
    assert rig.sources() == expected(1)
    assert sink.metric('tally_sinks_batches_total{outcome="retried",topic="enriched_events"}') == 1
