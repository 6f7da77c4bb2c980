"""The local stack: real servers that survive what a test does to them."""

import io
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pytest
from clickhouse_driver import Client

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer, archive_classes
from docker.local.postgresql import PostgresServer
from docker.local.prometheus import PrometheusServer
from schemas.settings import Settings
from tests.kafka import Kafka

pytestmark = pytest.mark.integration


@pytest.fixture
def kafka(own_kafka: KafkaServer, topic_prefix: str) -> Iterator[Kafka]:
    """A topic `kept` of two partitions."""
    kafka = Kafka(Settings.model_validate({"kafka_bootstrap": own_kafka.bootstrap, "topic_prefix": topic_prefix}))
    kafka.create("kept", 2)
    yield kafka
    kafka.close()


def produce(kafka: Kafka, values: list[bytes]) -> None:
    kafka.produce("kept", [(None, value) for value in values], partition=1)


def kept(kafka: Kafka) -> list[bytes | None]:
    return [record.value for record in kafka.read("kept") if record.partition == 1]


def test_kafka_gives_back_what_was_produced_also_after_a_restart(own_kafka: KafkaServer, kafka: Kafka) -> None:
    values = [b"one", b"two", b"three"]
    produce(kafka, values)
    assert kept(kafka) == values
    bootstrap, pid = own_kafka.bootstrap, own_kafka.pid

    own_kafka.restart()

    assert own_kafka.bootstrap == bootstrap
    assert own_kafka.pid != pid
    assert kept(kafka) == values


def test_kafka_keeps_acknowledged_records_over_a_crash(own_kafka: KafkaServer, kafka: Kafka) -> None:
    produce(kafka, [b"acknowledged"])
    own_kafka.kill()
    assert not own_kafka.running
    own_kafka.start()
    assert kept(kafka) == [b"acknowledged"]


def test_kafka_starts_with_the_classes_that_another_has_left(tmp_path: Path) -> None:
    archive_classes()
    with KafkaServer(tmp_path / "kafka", heap_mb=256, lives_minutes=True) as server:
        assert "/classes.jsa" in Path(f"/proc/{server.pid}/maps").read_text()


def test_kafka_creates_no_topic_that_was_only_asked_for(kafka: Kafka, unique_name: str) -> None:
    kafka.admin.list_topics(unique_name, timeout=15)
    assert unique_name not in kafka.admin.list_topics(timeout=15).topics


def test_clickhouse_takes_rows_from_both_clients_and_keeps_them_over_a_crash(own_clickhouse: ClickHouseServer) -> None:
    server = own_clickhouse
    server.query("CREATE DATABASE kept")
    server.query(
        "CREATE TABLE kept.rows (id UInt32, name String) ENGINE = MergeTree ORDER BY id "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    client = Client(server.host, port=server.tcp_port)
    client.execute("INSERT INTO kept.rows VALUES", [(1, "native")])
    client.disconnect()
    server.query("INSERT INTO kept.rows FORMAT JSONEachRow", b'{"id": 2, "name": "http"}')
    server.query("INSERT INTO kept.rows FORMAT Avro", avro_file([{"id": 3, "name": "avro"}]))

    server.kill()
    server.start()

    client = Client(server.host, port=server.tcp_port)
    rows = client.execute("SELECT id, name FROM kept.rows ORDER BY id")
    client.disconnect()
    assert rows == [(1, "native"), (2, "http"), (3, "avro")]


def test_clickhouse_stores_a_repeated_block_once_also_after_a_crash(own_clickhouse: ClickHouseServer) -> None:
    server = own_clickhouse
    server.query("CREATE DATABASE once")
    server.query(
        "CREATE TABLE once.rows (id UInt32) ENGINE = MergeTree ORDER BY id "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    insert = "INSERT INTO once.rows SETTINGS insert_deduplication_token = '{}' VALUES (1), (2)"
    server.query(insert.format("a"))
    server.query(insert.format("a"))
    server.kill()
    server.start()
    server.query(insert.format("a"))
    assert server.query("SELECT count() FROM once.rows") == "2\n"
    server.query(insert.format("b"))
    assert server.query("SELECT count() FROM once.rows") == "4\n"


def test_clickhouse_goes_on_when_clients_reset_their_connections(own_clickhouse: ClickHouseServer) -> None:
    """As the kernel does for a client that is killed with an answer unread: on both ports, idle and in the middle."""
    server = own_clickhouse
    pid = server.pid
    for port in (server.tcp_port, server.http_port):
        for _ in range(100):
            reset(socket.create_connection((server.host, port)))
    for number in range(20):
        client = Client(server.host, port=server.tcp_port)
        next(client.execute_iter(f"SELECT number FROM numbers({100_000_000 if number % 2 else 1})"))
        reset(client.connection.socket)
    assert server.query("SELECT 1") == "1\n"
    assert server.pid == pid


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_starting_a_running_server_changes_nothing(own_clickhouse: ClickHouseServer) -> None:
    pid = own_clickhouse.pid
    own_clickhouse.start()
    assert own_clickhouse.pid == pid


def test_prometheus_reads_a_new_configuration_while_it_runs(tmp_path: Path) -> None:
    with PrometheusServer(tmp_path) as server:
        assert "tally-self" not in server.get("/api/v1/status/config")
        server.configure("scrape_configs:\n- job_name: tally-self\n")
        assert "tally-self" in server.get("/api/v1/status/config")


def test_test_database_is_empty_and_usable(clickhouse_server: ClickHouseServer, clickhouse_database: str) -> None:
    assert clickhouse_server.query(f"SHOW TABLES FROM {clickhouse_database}") == ""


def test_clickhouse_is_bounded_and_reads_times_as_utc(clickhouse_server: ClickHouseServer) -> None:
    limit = "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'"
    assert clickhouse_server.query(limit) == f"{3 * 1024**3}\n"
    assert clickhouse_server.query("SELECT toUnixTimestamp(toDateTime('1970-01-02 00:00:00'))") == "86400\n"


def test_refused_query_is_an_error_with_the_servers_reason(clickhouse_server: ClickHouseServer) -> None:
    with pytest.raises(OSError, match="UNKNOWN_TABLE"):
        clickhouse_server.query("SELECT * FROM nowhere")


def test_postgresql_keeps_committed_rows_over_a_crash_and_says_what_it_refuses(tmp_path: Path) -> None:
    with PostgresServer(tmp_path) as server:
        server.query("CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2)")
        server.kill()
        server.start()
        assert server.query("SELECT id FROM kept ORDER BY id") == "1\n2\n"
        with pytest.raises(OSError, match='relation "nowhere" does not exist'):
            server.query("SELECT * FROM nowhere")


def avro_file(rows: list[dict[str, object]]) -> bytes:
    schema = fastavro.parse_schema(
        {
            "type": "record",
            "name": "row",
            "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}],
        }
    )
    file = io.BytesIO()
    fastavro.writer(file, schema, rows)
    return file.getvalue()
