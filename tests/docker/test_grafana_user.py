"""The user that Grafana queries as, read by a real ClickHouse from the file that compose.yaml mounts."""

from collections.abc import Iterator

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ErrorCodes, ServerException

from schemas.apply.profile import NEEDED
from tests.docker.grafana_server import DATABASE, GRAFANA_PASSWORD, GRAFANA_USER, ServerWithUsers

pytestmark = pytest.mark.integration
ACCESS_DENIED = 497
SETTING_CONSTRAINT_VIOLATION = 452


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A connection as Grafana's plugin makes it."""
    with ServerWithUsers(tmp_path_factory.mktemp("clickhouse-users")) as server:
        server.query(f"CREATE DATABASE {DATABASE}")
        server.query(f"CREATE TABLE {DATABASE}.events (event_name String) ENGINE = MergeTree ORDER BY ()")
        server.query(f"INSERT INTO {DATABASE}.events VALUES ('Signed Up')")
        login = {"user": GRAFANA_USER, "password": GRAFANA_PASSWORD, "database": DATABASE}
        with Client(server.host, server.tcp_port, **login) as client:
            yield client


def test_grafana_reads_the_tables(grafana: Client) -> None:
    assert grafana.execute("SELECT event_name FROM events") == [("Signed Up",)]


def test_grafana_may_shorten_its_queries(grafana: Client) -> None:
    assert grafana.execute("SELECT count() FROM events", settings={"max_execution_time": 20}) == [(1,)]


def test_grafana_asks_with_what_every_user_is_given(grafana: Client) -> None:
    query = "SELECT value FROM system.settings WHERE name = %(name)s"
    for name, value in NEEDED.items():
        assert grafana.execute(query, {"name": name}) == [(value,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE events",
        "INSERT INTO events VALUES ('x')",
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "SYSTEM FLUSH LOGS",
    ],
)
def test_grafana_changes_nothing(grafana: Client, statement: str) -> None:
    with pytest.raises(ServerException) as refusal:
        grafana.execute(statement)
    assert refusal.value.code in {ACCESS_DENIED, ErrorCodes.READONLY}


def test_grafana_cannot_lift_its_limits(grafana: Client) -> None:
    with pytest.raises(ServerException) as refusal:
        grafana.execute("SELECT 1", settings={"max_execution_time": 3600})
    assert refusal.value.code == SETTING_CONSTRAINT_VIOLATION
    with pytest.raises(ServerException) as refusal:
        grafana.execute("SELECT 1", settings={"max_memory_usage": 0})
    assert refusal.value.code == ErrorCodes.READONLY
