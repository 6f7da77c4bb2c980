"""What stands in the tables is what stood on the topics, field by field."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_driver import Client

from tests.sinks.records import PROJECT, START, TENANT, codec, event, framed_all, session
from tests.sinks.rig import SinkRig

GENERATION = 1 << 48


def table(rig: SinkRig, name: str, final: bool = False) -> list[dict[str, Any]]:
    """Every row as a record: column → value, times in UTC."""
    settings = rig.settings
    with Client(
        settings.clickhouse_host, port=settings.clickhouse_tcp_port, database=settings.clickhouse_database
    ) as client:
        rows, columns = client.execute(
            f"SELECT * FROM {name} {'FINAL' if final else ''}", with_column_types=True, settings={"use_numpy": False}
        )
    return [{column: plain(value) for (column, _), value in zip(columns, row, strict=True)} for row in rows]


def plain(value: Any) -> Any:
    """UUIDs as text and times with their zone, as records have them."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


def write(rig: SinkRig, topic: str, records: list[dict[str, Any]], keys: list[bytes] | None = None) -> None:
    """Through the sink, to the end."""
    rig.produce(topic, framed_all(topic, records), keys=keys)
    sink = rig.sink(topic)
    sink.start()
    rig.wait_for_acknowledgement([len(records), 0], topic)
    assert sink.terminate() == 0


def test_every_field_of_an_enriched_event_is_a_column(rig: SinkRig) -> None:
    records = [event(offset) for offset in range(300)]
    records[7] |= {"properties": '{"nul":"\\u0000","emoji":"🦜"}', "page_title": "\N{ZERO WIDTH JOINER}\t\n'\"\\"}
    records[8] |= {"page_title": "x" * 100_000}
    write(rig, "enriched_events", records)
    rows = sorted(table(rig, "events"), key=lambda row: row["source_offset"])
    assert rows == [{column: record[column] for column in rows[0]} for record in records]
    assert set(records[0]) == set(rows[0])


def test_events_of_several_months_in_one_batch_all_become_rows(rig: SinkRig) -> None:
    # The third day of this and the ten months before.
    months = [START.year * 12 + START.month - 1 - back for back in range(11)]
    days = [datetime(month // 12, month % 12 + 1, 3, 12, tzinfo=UTC) for month in months]
    records = [event(offset, timestamp=days[offset % 11]) for offset in range(110)]
    write(rig, "enriched_events", records)
    assert rig.rows() == 110
    assert rig.number("SELECT uniq(toYYYYMM(timestamp)) FROM {db}.events") == 11


def test_every_field_of_a_session_is_a_column(rig: SinkRig) -> None:
    records = [session(number, GENERATION | number) for number in range(20)]
    write(rig, "sessions", records, [str(number).encode() for number in range(20)])
    rows = sorted(table(rig, "sessions", final=True), key=lambda row: row["version"])
    assert rows == [{column: record[column] for column in rows[0]} for record in records]
    assert set(records[0]) == set(rows[0])


def test_every_event_leads_to_the_session_that_lives(rig: SinkRig) -> None:
    first, second, third, stranger = (session(number, 0)["session_id"] for number in range(4))
    kept = [event(offset, session_id=name) for offset, name in enumerate((first, second, third, stranger, "none"))]
    absorbed = {"is_deleted": True, "event_count": 0}
    sessions = [
        session(0, GENERATION | 9),
        session(1, GENERATION | 2),
        session(1, GENERATION | 3, **absorbed, absorbed_by=third),
        session(2, GENERATION | 3),
        session(1, GENERATION | 9, **absorbed, absorbed_by=first),
        session(2, GENERATION | 9, **absorbed, absorbed_by=first),
        session(3, GENERATION | 4, **absorbed, absorbed_by=first),
        session(3, GENERATION | 5),
    ]
    write(rig, "enriched_events", kept)
    # Each under a key of its own: a sink leaves out all but the newest of one key.
    write(rig, "sessions", sessions, [str(number).encode() for number in range(len(sessions))])
    told = rig.query("SELECT resolved_session_id FROM {db}.events_sessions ORDER BY source_offset").split()
    assert told == [first, first, first, stranger, "none"]


def test_of_a_session_the_newest_version_stands_whatever_came_last(rig: SinkRig) -> None:
    versions = [3, 9, 5, 7]
    records = [session(1, GENERATION | version) for version in versions]
    records += [session(2, GENERATION | 4), session(2, GENERATION | 8, is_deleted=True)]
    write(rig, "sessions", records, [b"one"] * 4 + [b"two"] * 2)
    assert [row["version"] for row in table(rig, "sessions", final=True)] == [GENERATION | 9]
    assert rig.number("SELECT max(version) FROM {db}.sessions WHERE is_deleted") == GENERATION | 8


def test_an_old_session_in_a_later_batch_does_not_replace_a_newer_one(rig: SinkRig) -> None:
    write(rig, "sessions", [session(1, GENERATION | 9)], [b"one"])
    rig.produce("sessions", framed_all("sessions", [session(1, GENERATION | 3)]), keys=[b"one"])
    rig.sink("sessions", sinks_instance_id="sink-0").start()
    rig.wait_for_acknowledgement([2, 0], "sessions")
    assert [row["version"] for row in table(rig, "sessions", final=True)] == [GENERATION | 9]


def test_every_field_of_an_identity_is_a_column(rig: SinkRig) -> None:
    records: list[dict[str, Any]] = [
        {
            "tenant_id": TENANT,
            "anonymous_id": f"visitor-{number}",
            "user_id": f"user-{number}",
            "linked_at": START,
            "link_source": "identify",
            "traits": '{"plan":"pro"}',
            "is_deleted": number == 3,
            "first_linked_at": START,
        }
        for number in range(5)
    ]
    write(rig, "identities", records, [str(number).encode() for number in range(5)])
    rows = sorted(table(rig, "identities", final=True), key=lambda row: row["user_id"])
    assert rows == [{**record, "is_deleted": int(record["is_deleted"])} for record in records]


def test_every_field_of_an_identity_change_is_a_column_and_a_repeat_is_one_row(rig: SinkRig) -> None:
    made: dict[str, Any] = {
        "tenant_id": TENANT,
        "anonymous_id": "visitor",
        "user_id": "user",
        "changed_at": START,
        "link_source": "manual",
        "is_deleted": False,
        "first_linked_at": START - timedelta(days=1),
        "changed_by": "cleo",
        "reason": "one household",
    }
    taken_back = made | {"changed_at": START + timedelta(hours=1), "link_source": "", "is_deleted": True}
    write(rig, "identity_changes", [made, taken_back, made], [b"one", b"two", b"one"])
    rows = sorted(table(rig, "identity_changes", final=True), key=lambda row: row["changed_at"])
    assert rows == [{**record, "is_deleted": int(record["is_deleted"])} for record in (made, taken_back)]


def test_every_field_of_a_project_is_a_column_and_the_latest_change_wins(rig: SinkRig) -> None:
    record = {
        "project_id": PROJECT,
        "tenant_id": TENANT,
        "name": "shop",
        "write_key": "wk",
        "allowed_origins": ["https://a.example", "https://b.example"],
        "settings": '{"conversion_events":["Order Completed"]}',
        "created_at": START,
        "updated_at": START,
        "is_disabled": False,
    }
    newer = record | {"name": "shop 2", "updated_at": START + timedelta(days=1), "is_disabled": True}
    write(rig, "projects", [newer, record], [b"wk", b"wk"])
    assert table(rig, "projects", final=True) == [newer]


def test_every_field_of_a_dead_letter_is_a_column_and_a_repeat_is_one_row(rig: SinkRig) -> None:
    payload = b'{"a":\xff\x00}'
    record = {
        "dead_letter_id": str(uuid.uuid4()),
        "tenant_id": TENANT,
        "project_id": PROJECT,
        "stage": "collector",
        "reason": "event_too_large",
        "detail": "40000 bytes",
        "payload": payload,
        "client_message_id": "m",
        "source_topic": "",
        "source_partition": -1,
        "source_offset": -1,
        "first_seen_at": START,
        "source_key": "key",
    }
    write(rig, "dead_letters", [record, record])
    assert rig.query("SELECT hex(payload) FROM {db}.dead_letters FINAL") == f"{payload.hex().upper()}\n"
    assert rig.query(
        "SELECT source_offset, source_partition, reason, toString(dead_letter_id) FROM {db}.dead_letters FINAL"
    ) == (f"-1\t-1\tevent_too_large\t{record['dead_letter_id']}\n")


def test_a_tombstone_on_an_upsert_topic_is_passed_over(rig: SinkRig) -> None:
    value = codec("sessions").encode(session(1, GENERATION | 1))
    rig.produce("sessions", [value, None, value], keys=[b"one", b"gone", b"one"])
    sink = rig.sink("sessions")
    sink.start()
    rig.wait_for_acknowledgement([3, 0], "sessions")
    assert rig.number("SELECT count() FROM {db}.sessions FINAL") == 1
    assert sink.metric('tally_sinks_records_total{outcome="drop",reason="tombstone",topic="sessions"}') == 1
    assert sink.metric('tally_sinks_records_total{outcome="drop",reason="superseded",topic="sessions"}') == 1
