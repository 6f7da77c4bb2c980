"""A server goes away and comes back: nothing is lost, nothing doubled, and the sink stays in its group."""

from typing import Any

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from tests.sinks.records import framed
from tests.sinks.rig import PARTITIONS, SinkRig

ROWS = 400
PAD: dict[str, Any] = {"properties": f'{{"pad":"{"x" * 2000}"}}'}


def produce(rig: SinkRig, first: int, last: int) -> None:
    for partition in range(PARTITIONS):
        rig.produce("enriched_events", [framed(offset, partition, **PAD) for offset in range(first, last)], partition)


DATABASE_UP = 'tally_sinks_database_up{topic="enriched_events"}'


def expected(count: int) -> list[tuple[int, int, int]]:
    return [(1, partition, offset) for partition in range(PARTITIONS) for offset in range(count)]


def test_while_the_database_is_away_consumption_pauses_and_afterwards_all_goes_in(
    outage_rig: SinkRig, own_clickhouse: ClickHouseServer
) -> None:
    sink = outage_rig.sink(sinks_flush_rows_max=50, sinks_buffer_bytes_max=300_000, sinks_request_ms_max=2_000)
    sink.start()
    produce(outage_rig, 0, 100)
    outage_rig.wait_for_rows(200)
    own_clickhouse.kill()
    produce(outage_rig, 100, ROWS)
    outage_rig.wait_for_word(sink, "consumption pauses")
    outage_rig.wait_until(lambda: sink.metric(DATABASE_UP) == 0, lambda: sink.get("/metrics"))
    assert sink.get("/healthz")[0] == 200
    own_clickhouse.start()
    outage_rig.wait_for_acknowledgement([ROWS] * PARTITIONS)
    assert outage_rig.sources() == expected(ROWS)
    outage_rig.wait_until(lambda: sink.metric(DATABASE_UP) == 1, lambda: sink.get("/metrics"))
    # The same membership all along: partitions were assigned once.
    assert sink.said("partitions assigned") == 1


def test_a_database_that_hangs_and_wakes_up_doubles_nothing(
    outage_rig: SinkRig, own_clickhouse: ClickHouseServer
) -> None:
    sink = outage_rig.sink(sinks_flush_rows_max=50, sinks_request_ms_max=1_000)
    sink.start()
    produce(outage_rig, 0, 100)
    outage_rig.wait_for_rows(200)
    own_clickhouse.suspend()
    produce(outage_rig, 100, ROWS)
    outage_rig.wait_for_word(sink, "a batch waits", times=2)
    own_clickhouse.resume()
    outage_rig.wait_for_acknowledgement([ROWS] * PARTITIONS)
    assert outage_rig.sources() == expected(ROWS)


def test_a_stop_while_the_database_is_away_ends_in_time_and_loses_nothing(
    outage_rig: SinkRig, own_clickhouse: ClickHouseServer
) -> None:
    sink = outage_rig.sink(sinks_flush_rows_max=50, sinks_stop_ms_max=3_000, sinks_revoke_ms_max=500)
    sink.start()
    produce(outage_rig, 0, 100)
    outage_rig.wait_for_rows(200)
    own_clickhouse.kill()
    produce(outage_rig, 100, ROWS)
    outage_rig.wait_for_word(sink, "a batch waits")
    assert sink.terminate(timeout_s=10) == 0
    own_clickhouse.start()
    sink.start()
    outage_rig.wait_for_acknowledgement([ROWS] * PARTITIONS)
    assert outage_rig.sources() == expected(ROWS)


def test_a_sink_that_starts_before_its_database_waits_for_it(
    outage_rig: SinkRig, own_clickhouse: ClickHouseServer
) -> None:
    own_clickhouse.kill()
    sink = outage_rig.sink()
    sink.launch()
    outage_rig.wait_for_word(sink, "waiting for the database")
    assert sink.get("/healthz")[0] == 200
    assert sink.get("/readyz")[0] == 503
    own_clickhouse.start()
    produce(outage_rig, 0, 10)
    outage_rig.wait_for_acknowledgement([10] * PARTITIONS)
    assert sink.get("/readyz")[0] == 200


def test_a_broker_that_goes_away_and_comes_back_costs_nothing(outage_rig: SinkRig, own_kafka: KafkaServer) -> None:
    # Without static membership, as by default: a broker that lost the answer to a join takes a static member that comes
    # again for another one, and fences it for good.
    sink = outage_rig.sink(sinks_flush_rows_max=50, sinks_instance_id=None)
    sink.start()
    produce(outage_rig, 0, 100)
    outage_rig.wait_for_rows(200)
    own_kafka.kill()
    own_kafka.start()
    produce(outage_rig, 100, ROWS)
    outage_rig.wait_for_acknowledgement([ROWS] * PARTITIONS)
    assert outage_rig.sources() == expected(ROWS)
    assert sink.exit_code is None
