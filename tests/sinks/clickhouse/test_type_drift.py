"""A column whose type somebody changed stops its topic and is named; nothing becomes a dead letter."""

from sinks.clickhouse.table_check import contract_types
from sinks.routes import ROUTES
from tests.sinks.records import framed
from tests.sinks.rig import SinkRig


def test_the_types_of_the_contract_are_those_of_the_server(rig: SinkRig) -> None:
    for route in ROUTES.values():
        answer = rig.query(
            f"SELECT name, type FROM system.columns WHERE database = '{{db}}' AND table = '{route.table}' FORMAT TSVRaw"
        )
        assert dict(line.split("\t") for line in answer.splitlines()) == contract_types(route.table)


def test_a_changed_type_stops_the_topic_names_the_column_and_costs_few_requests(rig: SinkRig) -> None:
    rig.found_group()
    rig.query("ALTER TABLE {db}.events MODIFY COLUMN session_id UUID")
    rig.produce("enriched_events", (framed(offset, session_id="visitor") for offset in range(2_000)))
    sink = rig.sink(sinks_retry_ms_max=30_000)
    sink.launch()
    stopped = 'tally_sinks_stopped{cause="type_changed",topic="enriched_events"}'
    rig.wait_until(lambda: sink.sample(stopped) == 1, sink.log_tail)
    status, text = sink.get("/readyz")
    assert status == 503
    assert "column session_id is UUID, the contract says String" in text
    assert rig.consume("dead_letters") == []
    assert rig.rows() == 0
    rig.query("ALTER TABLE {db}.events MODIFY COLUMN session_id String")
    rig.wait_for_rows(2_000)
    rig.wait_for_acknowledgement([2_000, 0])
    rig.wait_until(lambda: sink.sample(stopped) == 0, sink.log_tail)
    assert rig.rows() == 2_000
    assert rig.consume("dead_letters") == []
