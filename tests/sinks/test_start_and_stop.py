"""When the sink starts, what it says when it cannot, and how it ends."""

import os
import signal

from tests.sinks.records import framed
from tests.sinks.rig import PARTITIONS, SinkRig


def refused(rig: SinkRig, *topics: str) -> tuple[int, str]:
    """Exit code and log of a sink that does not start."""
    sink = rig.sink(*topics)
    sink.launch()
    return sink.wait_ended(), sink.log()


def test_a_table_without_a_deduplication_window_is_refused(rig: SinkRig) -> None:
    rig.query("ALTER TABLE {db}.events MODIFY SETTING non_replicated_deduplication_window = 0")
    code, said = refused(rig)
    assert code == 3
    assert "non_replicated_deduplication_window is 0" in said
    assert "python -m schemas apply" in said


def test_a_table_that_says_nothing_of_a_window_has_the_servers_default_of_none(rig: SinkRig) -> None:
    rig.query("ALTER TABLE {db}.events RESET SETTING non_replicated_deduplication_window")
    code, said = refused(rig)
    assert code == 3
    assert "non_replicated_deduplication_window is 0" in said


def test_a_missing_table_is_refused(rig: SinkRig) -> None:
    rig.query("DROP TABLE {db}.sessions SYNC")
    code, said = refused(rig, "sessions")
    assert code == 3
    assert "table sessions does not exist: run `python -m schemas apply`" in said


def test_a_missing_database_is_refused(rig: SinkRig) -> None:
    sink = rig.sink(clickhouse_database="no_such_database")
    sink.launch()
    assert sink.wait_ended() == 3
    assert sink.said("python -m schemas apply")


def test_a_missing_column_is_refused_by_name(rig: SinkRig) -> None:
    rig.query("ALTER TABLE {db}.events DROP COLUMN bot_reason, DROP COLUMN group_id")
    code, said = refused(rig)
    assert code == 3
    assert "table events lacks the columns bot_reason, group_id" in said


def test_an_upsert_table_that_keeps_every_row_is_refused(rig: SinkRig) -> None:
    rig.query("DROP TABLE {db}.identities SYNC")
    rig.query(
        "CREATE TABLE {db}.identities (tenant_id String, anonymous_id String, user_id String, linked_at DateTime64(3), "
        "link_source String, traits String, is_deleted UInt8, first_linked_at DateTime64(3)) "
        "ENGINE = MergeTree ORDER BY tenant_id"
    )
    code, said = refused(rig, "identities")
    assert code == 3
    assert "keeps every repeat" in said


def test_an_unknown_topic_is_refused(rig: SinkRig) -> None:
    code, said = refused(rig, "raw_events")
    assert code == 2
    assert "no such topic: raw_events" in said


def test_a_misspelt_failpoint_is_refused(rig: SinkRig) -> None:
    sink = rig.sink()
    sink.extra_environ = {"SINKS_FAILPOINT": "after_lunch:kill"}
    sink.launch()
    assert sink.wait_ended() == 2
    assert sink.said("after_lunch")


def test_a_stopped_sink_has_acknowledged_what_it_wrote(rig: SinkRig) -> None:
    rig.found_group()
    sink = rig.sink(sinks_flush_age_ms_max=100)
    sink.start()
    for partition in range(PARTITIONS):
        rig.produce("enriched_events", [framed(offset, partition) for offset in range(100)], partition)
    rig.wait_for_rows(200)
    assert sink.terminate() == 0
    # At the end of the batch, with nothing planned: the next owner has nothing to do again.
    assert [(offset, plan and plan.end) for offset, plan in rig.committed("enriched_events")] == [(100, None)] * 2


def test_all_topics_run_in_one_process_and_the_admin_port_tells_of_each(rig: SinkRig) -> None:
    topics = ("enriched_events", "sessions", "identities", "identity_changes", "projects", "dead_letters")
    sink = rig.sink(*topics)
    sink.start()
    rig.produce("enriched_events", [framed(0)])
    rig.wait_for_rows(1)
    assert sink.get("/healthz") == (200, "ok\n")
    assert sink.get("/readyz") == (200, "ok\n")
    assert sink.get("/nothing")[0] == 404
    keep = 'tally_sinks_records_total{outcome="keep",reason="",topic="enriched_events"}'
    rig.wait_until(lambda: sink.metric(keep) == 1, lambda: sink.get("/metrics"))
    for topic in topics:
        lag = f'tally_sinks_lag_records{{partition="0",topic="{topic}"}}'
        rig.wait_until(lambda lag=lag: f"{lag} 0.0" in sink.get("/metrics")[1], lambda: sink.get("/metrics")[1])  # type: ignore[misc]
    latency = 'tally_sinks_latency_seconds_count{topic="enriched_events"}'
    assert sink.metric(latency) == 1
    assert sink.terminate() == 0


def test_a_sink_told_to_stop_while_it_was_suspended_ends_when_it_wakes_up(rig: SinkRig) -> None:
    # The kernel gives the signal to any thread then; only Python's main thread acts on it.
    sink = rig.sink("enriched_events", "sessions", "identities", "identity_changes", "projects", "dead_letters")
    for _ in range(3):
        sink.start()
        pid = sink.pid
        assert pid is not None
        sink.suspend()
        os.kill(pid, signal.SIGTERM)
        sink.resume()
        assert sink.wait_ended() == 0
