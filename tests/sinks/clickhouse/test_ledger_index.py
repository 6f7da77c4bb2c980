"""The ledger asks for the dead letters of a page by their place: what it reads does not grow with the table."""

from clickhouse_driver import Client

from docker.local.clickhouse import ClickHouseServer
from schemas.apply.tables import apply_tables, clickhouse
from schemas.settings import Settings
from sinks.clickhouse.ledger_tables import LedgerTables

DEAD_LETTERS = 300_000
_FILL = f"""
INSERT INTO dead_letters (dead_letter_id, stage, reason, source_topic, source_partition, source_offset, first_seen_at)
SELECT generateUUIDv4(), 'streams', 'record_invalid', 'raw_events', 3, number, now64(3) FROM numbers({DEAD_LETTERS})
"""


def rows_read(client: Client) -> int:
    return int(client.last_query.progress.rows)


def test_dead_letters_of_a_page_are_found_by_their_place(
    clickhouse_server: ClickHouseServer, clickhouse_database: str
) -> None:
    settings = Settings.model_validate(
        {
            "clickhouse_host": clickhouse_server.host,
            "clickhouse_tcp_port": clickhouse_server.tcp_port,
            "clickhouse_http_port": clickhouse_server.http_port,
            "clickhouse_database": clickhouse_database,
        }
    )
    apply_tables(settings)
    with clickhouse(settings) as client:
        client.execute(_FILL)
        tables = LedgerTables(client, settings)
        assert tables.stored(3, 70_000, 70_100).dead.tolist() == list(range(70_000, 70_100))
        assert rows_read(client) < DEAD_LETTERS // 10
        assert tables.by_project(3, 70_000, 70_100) == [("dead", "", 100)]
        assert rows_read(client) < DEAD_LETTERS // 10
        assert [death.raw_offset for death in tables.dead_events(3, [7, 70_000])] == [7, 70_000]
        assert tables.stored(2, 0, DEAD_LETTERS).dead.tolist() == []
        client.execute("SELECT count() FROM dead_letters WHERE detail = 'nowhere'")
        assert rows_read(client) == DEAD_LETTERS  # what has no index is read whole: the measure can fail
