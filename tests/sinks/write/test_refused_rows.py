"""A row that the database refuses becomes a dead letter; its neighbours become rows, once."""

import signal
import struct
from typing import Any

import pytest

from sinks.failpoints import VARIABLE
from tests.sinks.records import NOT_A_UUID, PROJECT, TENANT, codec, event, framed, framed_all
from tests.sinks.rig import SinkRig

GROUP = 250


def written(rig: SinkRig, records: int, *topics: str, **overrides: Any) -> None:
    sink = rig.sink("enriched_events", "dead_letters", **overrides)
    sink.start()
    rig.wait_for_acknowledgement([records, 0])


def dead_letters(rig: SinkRig) -> list[dict[str, Any]]:
    return sorted(rig.consume("dead_letters"), key=lambda dead_letter: int(dead_letter["source_offset"]))


def offsets(rig: SinkRig) -> list[int]:
    return [offset for _, _, offset in rig.sources()]


def test_a_refused_row_is_set_aside_and_becomes_a_dead_letter_s_row_and_the_others_go_in(rig: SinkRig) -> None:
    rig.found_group()
    values = [framed(offset, **(NOT_A_UUID if offset == 137 else {})) for offset in range(GROUP)]
    rig.produce("enriched_events", values, keys=[b"%d" % offset for offset in range(GROUP)])
    written(rig, GROUP)
    assert offsets(rig) == [offset for offset in range(GROUP) if offset != 137]
    (dead_letter,) = dead_letters(rig)
    assert (dead_letter["stage"], dead_letter["reason"]) == ("sinks", "row_refused")
    topic = rig.settings.topic("enriched_events")
    assert (dead_letter["source_topic"], dead_letter["source_partition"], dead_letter["source_offset"]) == (
        topic,
        0,
        137,
    )
    assert dead_letter["source_key"] == "137"
    assert dead_letter["payload"] == values[137]
    assert (dead_letter["tenant_id"], dead_letter["project_id"]) == (TENANT, PROJECT)
    assert dead_letter["client_message_id"] == event(137)["client_message_id"]
    assert "no uuid" in dead_letter["detail"]
    rig.wait_for_rows(1, "dead_letters")  # the sink's own become rows too
    assert rig.query("SELECT reason, stage FROM {db}.dead_letters") == "row_refused\tsinks\n"


def test_records_that_are_no_rows_are_set_aside_each_with_its_reason(rig: SinkRig) -> None:
    rig.found_group()
    mismatched = codec("identities").header + framed(3)[5:]
    unknown = struct.pack(">bI", 0, 4711) + framed(4)[5:]
    values = [framed(0), b"", b"not framed", mismatched, unknown, framed(5, partition=1), framed(6), None, framed(8)]
    rig.produce("enriched_events", values, keys=[f"{TENANT}/{PROJECT}/visitor".encode()] * len(values))
    written(rig, len(values))
    assert offsets(rig) == [0, 6, 8]
    assert [
        (dead_letter["source_offset"], dead_letter["reason"], dead_letter["payload"])
        for dead_letter in dead_letters(rig)
    ] == [
        (1, "not_avro", b""),
        (2, "not_avro", b"not framed"),
        (3, "schema_mismatch", mismatched),
        (4, "schema_id_unknown", unknown),
        (5, "field_invalid", values[5]),
        (7, "not_avro", b""),
    ]
    # What cannot be read belongs to whom its key names.
    assert {(dead_letter["tenant_id"], dead_letter["project_id"]) for dead_letter in dead_letters(rig)} == {
        (TENANT, PROJECT)
    }


def test_a_truncated_record_is_set_aside_alone_wherever_it_stands(rig: SinkRig) -> None:
    rig.found_group()
    kept_bytes = (60, 300, -1)
    cuts = {group * GROUP + place: kept for group, kept in enumerate(kept_bytes) for place in (0, 60, GROUP - 1)}
    count = len(kept_bytes) * GROUP
    values = [framed(offset)[: cuts.get(offset)] for offset in range(count)]
    places = list(cuts)
    rig.produce("enriched_events", values)
    written(rig, count)
    assert offsets(rig) == [offset for offset in range(count) if offset not in places]
    assert [(dead_letter["source_offset"], dead_letter["payload"]) for dead_letter in dead_letters(rig)] == [
        (place, values[place]) for place in places
    ]


def test_many_refused_rows_cost_neither_the_others_nor_a_part_each(rig: SinkRig) -> None:
    rig.found_group()
    count, every = 2_500, 5
    values = [framed(offset, **(NOT_A_UUID if offset % every == 0 else {})) for offset in range(count)]
    rig.produce("enriched_events", values)
    written(rig, count, sinks_flush_age_ms_max=2_000)
    assert offsets(rig) == [offset for offset in range(count) if offset % every]
    assert [dead_letter["source_offset"] for dead_letter in dead_letters(rig)] == list(range(0, count, every))
    assert (
        rig.number("SELECT count() FROM system.parts WHERE database = '{db}' AND table = 'events' AND level = 0") < 10
    )


def test_rows_that_only_the_table_refuses_are_found_too(rig: SinkRig) -> None:
    rig.found_group()
    rig.query("ALTER TABLE {db}.events ADD CONSTRAINT no_tests CHECK page_path NOT IN ('/p/7', '/p/90')")
    rig.produce("enriched_events", [framed(offset) for offset in range(GROUP)])
    written(rig, GROUP)
    assert offsets(rig) == [offset for offset in range(GROUP) if offset not in (7, 90)]
    assert [dead_letter["source_offset"] for dead_letter in dead_letters(rig)] == [7, 90]


@pytest.mark.parametrize("failpoint", ["during_insert:kill:1", "during_insert:kill:3", "after_insert:kill:1"])
def test_a_kill_amid_poison_costs_no_row_and_doubles_none(rig: SinkRig, failpoint: str) -> None:
    rig.found_group()
    values = [framed(offset, **(NOT_A_UUID if offset in (5, 44) else {})) for offset in range(GROUP)]
    rig.produce("enriched_events", values)
    sink = rig.sink("enriched_events", "dead_letters")
    sink.extra_environ = {VARIABLE: failpoint}
    sink.launch()
    assert sink.wait_ended() == -signal.SIGKILL
    sink.extra_environ = {}
    sink.start()
    rig.wait_for_acknowledgement([GROUP, 0])
    assert offsets(rig) == [offset for offset in range(GROUP) if offset not in (5, 44)]
    assert {dead_letter["source_offset"] for dead_letter in dead_letters(rig)} == {5, 44}
    assert len({dead_letter["dead_letter_id"] for dead_letter in dead_letters(rig)}) == 2


def test_a_dead_letter_that_its_table_refuses_stops_its_topic_loudly_and_makes_no_other(rig: SinkRig) -> None:
    dead_letter = {
        "dead_letter_id": "no uuid",
        "tenant_id": TENANT,
        "project_id": PROJECT,
        "stage": "collector",
        "reason": "event_too_large",
        "detail": "",
        "payload": b"x",
        "client_message_id": "",
        "source_topic": "",
        "source_partition": -1,
        "source_offset": -1,
        "first_seen_at": event(0)["timestamp"],
        "source_key": "",
    }
    (value,) = framed_all("dead_letters", [dead_letter])
    rig.produce("dead_letters", [value])
    sink = rig.sink("dead_letters")
    sink.launch()
    stopped = 'tally_sinks_stopped{cause="dead_letter_refused",topic="dead_letters"}'
    rig.wait_until(lambda: sink.sample(stopped) == 1, sink.log_tail)
    status, text = sink.get("/readyz")
    assert status == 503
    assert "no uuid" in text
    assert len(rig.consume("dead_letters")) == 1
    assert rig.rows("dead_letters") == 0
