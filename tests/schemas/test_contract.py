"""Topics, Avro schemas and tables say the same."""

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from docker.local import PROJECT_ROOT
from schemas.apply.tables import TABLES, VIEWS, statement
from schemas.outcomes import DeadReason
from schemas.registry import current_schema
from schemas.settings import Settings
from schemas.topics import TOPICS, every_topic
from sinks.routes import ROUTES
from tests.schemas import ddl

# In the order the schema document lists them; what Tally adds stands after them.
ASKED_FOR = {
    "events": (
        "event_id message_id tenant_id project_id event_name event_type timestamp received_at anonymous_id user_id "
        "session_id channel_type external_id handshake_token page_path page_url page_title page_referrer user_agent "
        "device_type os_name os_version browser_name browser_version ip_address country_code city properties "
        "sdk_version processed_at"
    ),
    "sessions": (
        "session_id tenant_id anonymous_id user_id started_at ended_at duration_seconds event_count page_count "
        "entry_page referrer utm_source utm_medium utm_campaign device_type country_code converted conversion_event"
    ),
    "identities": "tenant_id anonymous_id user_id linked_at link_source traits",
    "projects": "project_id tenant_id name write_key allowed_origins settings created_at updated_at",
    "conversations": (
        "conversation_id tenant_id whatsapp_phone_id user_id current_state started_at first_response_at resolved_at "
        "message_count bot_message_count agent_message_count linked_session_id handshake_token"
    ),
}
ADDED = {
    "events": (
        "client_message_id context is_bot bot_reason group_id previous_id source_partition source_offset "
        "source_generation"
    ),
    "sessions": "version is_deleted project_id exit_page channel_type is_bot client_session_id absorbed_by",
    "identities": "is_deleted first_linked_at",
    "projects": "is_disabled",
    "conversations": (
        "version is_deleted project_id business_phone_id wa_id queued_at first_agent_response_at last_activity_at "
        "resolved_reason handoff_count customer_message_count queued_seconds bot_seconds agent_seconds entry_source "
        "ctwa_clid ad_id linked_anonymous_id inactivity_seconds"
    ),
}
TIMESTAMP = json.dumps({"type": "long", "logicalType": "timestamp-millis"})
# Which columns an Avro type may fill; ClickHouse's Avro reader converts each of these pairs.
FITS = {
    '"string"': {"String", "LowCardinality(String)", "UUID"},
    '["null", "string"]': {"Nullable(String)"},
    TIMESTAMP: {"DateTime64(3)"},
    f'["null", {TIMESTAMP}]': {"Nullable(DateTime64(3))"},
    '"boolean"': {"Bool", "UInt8"},
    '"int"': {"Int32", "UInt16", "UInt32"},
    '"long"': {"Int64", "UInt64"},
    '"bytes"': {"String"},
    json.dumps({"type": "array", "items": "string"}): {"Array(String)"},
}
KEPT = {
    "events": "toDateTime(timestamp) + INTERVAL 2 YEAR",
    "sessions": "toDateTime(started_at) + INTERVAL 2 YEAR",
    "events_hourly": "toDateTime(hour) + INTERVAL 5 YEAR",
    "events_daily": "toDateTime(day) + INTERVAL 5 YEAR",
    "dead_letters": "toDateTime(first_seen_at) + INTERVAL 2 YEAR",
    "dead_letter_replays": "toDateTime(replayed_at) + INTERVAL 2 YEAR",
}
ENGINES = {
    "events": "MergeTree",
    "events_hourly": "MergeTree",
    "events_daily": "MergeTree",
    "sessions": "ReplacingMergeTree(version, is_deleted)",
    "identities": "ReplacingMergeTree(linked_at)",
    "identity_changes": "ReplacingMergeTree",
    "projects": "ReplacingMergeTree(updated_at)",
    "conversations": "ReplacingMergeTree(version, is_deleted)",
    "dead_letters": "ReplacingMergeTree",
    "dead_letter_replays": "ReplacingMergeTree(replayed_at)",
}


def fields(topic: str) -> dict[str, Any]:
    """Name → type of a topic's records."""
    return {field["name"]: field["type"] for field in current_schema(topic)["fields"]}


def files(folder: str, suffix: str) -> set[str]:
    """The stems of the contract's files."""
    return {path.name.removesuffix(suffix) for path in _listed(folder) if path.name.endswith(suffix)}


def _listed(folder: str) -> Iterator[Any]:
    return (resources.files("schemas") / folder).iterdir()


def test_every_topic_has_a_schema_and_every_schema_a_topic() -> None:
    assert files("avro", ".avsc") == set(TOPICS)


def test_every_table_and_view_has_a_file_and_every_file_is_applied() -> None:
    assert files("ddl/clickhouse", ".sql") == {*TABLES, *VIEWS}


def test_every_topic_a_sink_reads_has_a_table() -> None:
    assert {topic for topic, entry in TOPICS.items() if "sinks" in entry.consumers} == set(ROUTES)
    assert {route.table for route in ROUTES.values()} <= set(TABLES)


@pytest.mark.parametrize("topic", ROUTES)
def test_a_table_has_exactly_the_fields_of_its_topic(topic: str) -> None:
    assert set(ddl.columns(ROUTES[topic].table)) == set(fields(topic))


@pytest.mark.parametrize(
    ("topic", "field", "kind"), [(topic, field, kind) for topic in ROUTES for field, kind in fields(topic).items()]
)
def test_a_column_can_hold_its_field(topic: str, field: str, kind: Any) -> None:
    assert ddl.columns(ROUTES[topic].table)[field] in FITS[json.dumps(kind)]


@pytest.mark.parametrize("table", ASKED_FOR)
def test_the_columns_asked_for_come_first_and_in_order(table: str) -> None:
    assert list(ddl.columns(table)) == [*ASKED_FOR[table].split(), *ADDED[table].split()]


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_kept_as_long_as_required(table: str) -> None:
    assert ddl.time_to_live(table) == KEPT.get(table, "")


@pytest.mark.parametrize("table", TABLES)
def test_the_engine_is_the_required_one(table: str) -> None:
    assert ddl.engine(table) == ENGINES[table]


def test_events_are_partitioned_by_month_and_sorted_by_tenant_and_time() -> None:
    text = statement("events")
    assert "PARTITION BY toYYYYMM(timestamp)\n" in text
    assert "ORDER BY (tenant_id, timestamp, event_id)\n" in text


@pytest.mark.parametrize("topic", ["enriched_events", "identity_claims", "conversation_signals"])
def test_the_source_opens_the_record(topic: str) -> None:
    """A sink reads these three varints and not the record."""
    assert list(fields(topic))[:3] == ["source_offset", "source_partition", "source_generation"]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_field_says_what_it_holds(topic: str) -> None:
    schema = current_schema(topic)
    assert schema["doc"]
    assert [field["name"] for field in schema["fields"] if not field.get("doc")] == []


@pytest.mark.parametrize(("replicas", "must_acknowledge"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_what_is_acknowledged_stands_twice_where_that_can_be_had(replicas: int, must_acknowledge: str | None) -> None:
    settings = Settings.model_validate({"replication_factor": replicas})
    for topic in every_topic(settings):
        assert topic.broker_config(settings).get("min.insync.replicas") == must_acknowledge


def test_every_reason_of_a_dead_letter_is_given_by_somebody() -> None:
    breaker = PROJECT_ROOT / "streams" / "runtime" / "breaker.py"  # speaks of those that others give
    stages = [path for stage in ("collector", "streams", "sinks") for path in (PROJECT_ROOT / stage).rglob("*.py")]
    text = "\n".join(path.read_text() for path in stages if path != breaker)
    assert [reason.name for reason in DeadReason if f"DeadReason.{reason.name}" not in text] == []
