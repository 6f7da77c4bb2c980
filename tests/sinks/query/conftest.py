"""Tables for the stories of a module, and a story of one's own."""

from collections.abc import Iterator

import pytest
from clickhouse_driver import Client

from docker.local.clickhouse import ClickHouseServer
from schemas.settings import Settings
from tests.sinks.query.stories import Story, tables


@pytest.fixture(scope="module")
def story_tables(clickhouse_server: ClickHouseServer) -> Iterator[tuple[Client, Settings]]:
    with tables(clickhouse_server) as made:
        yield made


@pytest.fixture
def story(story_tables: tuple[Client, Settings]) -> Story:
    return Story(*story_tables)
