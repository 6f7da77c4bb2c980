"""The contract applied to the real servers, and each query pattern answered from its index."""

import json
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.apply.findings import Verdict
from schemas.apply.tables import apply_tables, check_tables, clickhouse
from schemas.apply.topics import apply_topics, check_topics
from schemas.settings import Settings

ROWS = 400_000
# The month before this one: rows live for years from their own time, and a fixed month would be past them one day.
_MONTH = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).replace(day=1).date()
_FILL = f"""
INSERT INTO events (event_id, message_id, tenant_id, project_id, event_name, timestamp, received_at, anonymous_id,
    user_id, session_id, source_partition, source_offset, source_generation)
SELECT generateUUIDv4(), toUUID(concat(leftPad(hex(number), 8, '0'), '-0000-4000-8000-000000000000')),
    concat('tenant-', toString(number % 4)), 'project', concat('event ', toString(cityHash64(number) % 50)),
    toDateTime64('{_MONTH} 00:00:00', 3) + number * 6, now64(3), 'v',
    concat('user-', toString(intDiv(number, 40))), toString(intDiv(number, 4)), number % 12, intDiv(number, 12), 1
FROM numbers({ROWS})
"""


def verdicts(findings: Any) -> set[Verdict]:
    return {finding.verdict for finding in findings}


def test_topics_are_created_once_and_a_changed_configuration_is_repaired(settings: Settings) -> None:
    assert verdicts(check_topics(settings)) == {Verdict.MISSING}
    assert verdicts(apply_topics(settings)) == {Verdict.CREATED}
    assert verdicts(apply_topics(settings)) == {Verdict.OK} == verdicts(check_topics(settings))


def test_another_number_of_partitions_is_reported_and_never_altered(settings: Settings) -> None:
    apply_topics(settings)
    other = settings.model_copy(update={"partitions": 3})
    for _ in range(2):
        assert Verdict.DIFFERS in verdicts(apply_topics(other))
    assert verdicts(check_topics(settings)) == {Verdict.OK}


def test_tables_are_created_once_and_what_lacks_is_added(settings: Settings) -> None:
    assert Verdict.MISSING in verdicts(check_tables(settings))
    assert verdicts(apply_tables(settings)) == {Verdict.CREATED}
    assert verdicts(apply_tables(settings)) == {Verdict.OK} == verdicts(check_tables(settings))
    with clickhouse(settings) as client:
        client.execute("ALTER TABLE dead_letters DROP COLUMN source_key")
        client.execute("ALTER TABLE events DROP PROJECTION by_session")
        client.execute("ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 0")
    differing = {finding.subject for finding in check_tables(settings) if not finding.settled}
    assert differing == {"table dead_letters", "table events"}
    assert verdicts(apply_tables(settings)) == {Verdict.ALTERED, Verdict.OK}
    assert verdicts(check_tables(settings)) == {Verdict.OK}


def test_a_column_of_another_type_is_reported_and_never_converted(settings: Settings) -> None:
    apply_tables(settings)
    with clickhouse(settings) as client:
        client.execute("ALTER TABLE sessions MODIFY COLUMN exit_page Nullable(String)")
    for findings in (check_tables(settings), apply_tables(settings)):
        (finding,) = [finding for finding in findings if finding.subject == "table sessions"]
        assert finding.verdict is Verdict.DIFFERS
        assert "exit_page" in finding.detail


def rows_read(settings: Settings, query: str) -> int:
    """How many rows ClickHouse read for a query, by its own account."""
    parameters = {"database": settings.clickhouse_database, "query": query, "wait_end_of_query": "1"}
    # Positions are looked up only in tables of a million rows and more, unless told otherwise; this one has less.
    parameters["min_table_rows_to_use_projection_index"] = "0"
    url = f"http://{settings.clickhouse_host}:{settings.clickhouse_http_port}/?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(urllib.request.Request(url, b"", method="POST"), timeout=60) as answer:
        answer.read()
        return int(json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"])


def test_each_query_pattern_reads_a_small_part_of_the_table(settings: Settings) -> None:
    apply_tables(settings)
    with clickhouse(settings) as client:
        client.execute(_FILL)
        client.execute("OPTIMIZE TABLE events FINAL")  # projections are made by merges
        parts = client.execute(
            "SELECT count() FROM system.parts WHERE active AND table = 'events' AND database = currentDatabase()"
        )
    patterns = {
        "events by time range": (
            "SELECT count(), any(properties) FROM events WHERE tenant_id = 'tenant-1' "
            f"AND timestamp BETWEEN '{_MONTH + timedelta(days=4)} 00:00:00' AND '{_MONTH + timedelta(days=4)} 06:00:00'"
        ),
        "funnel": (
            "SELECT anonymous_id, min(timestamp) FROM events WHERE tenant_id = 'tenant-1' AND event_name = 'event 7' "
            f"AND timestamp > '{_MONTH + timedelta(days=1)} 00:00:00' GROUP BY 1"
        ),
        "user history": "SELECT event_name, timestamp FROM events WHERE user_id = 'user-77' ORDER BY timestamp",
        "session lookup": "SELECT event_name FROM events WHERE session_id = '777'",
        "message lookup": (
            "SELECT event_name FROM events WHERE message_id = toUUID('0000ABCD-0000-4000-8000-000000000000')"
        ),
        "offsets of a batch": (
            "SELECT source_offset FROM events WHERE source_generation = 1 AND source_partition = 3 "
            "AND source_offset BETWEEN 1000 AND 1100"
        ),
    }
    read = {name: rows_read(settings, query) for name, query in patterns.items()}
    assert {name: count for name, count in read.items() if count > ROWS // 4} == {}, (read, parts)
    whole = rows_read(settings, "SELECT event_name FROM events WHERE client_message_id = 'nowhere'")
    assert whole >= ROWS  # what has no index is read whole: the measure can fail
