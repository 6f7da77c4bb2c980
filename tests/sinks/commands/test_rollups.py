"""`python -m sinks rollups` on a real server: what it does, what it says, and with which exit code."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from docker.local.clickhouse import ClickHouseServer
from schemas.apply.tables import apply_tables
from schemas.settings import Settings, to_environ
from sinks.__main__ import app
from tests.sinks.rollups.worlds import ClickHouseWorld, ago, at


@pytest.fixture
def world(
    clickhouse_server: ClickHouseServer, clickhouse_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClickHouseWorld]:
    settings = Settings.model_validate(
        {
            "clickhouse_host": clickhouse_server.host,
            "clickhouse_tcp_port": clickhouse_server.tcp_port,
            "clickhouse_database": clickhouse_database,
        }
    )
    apply_tables(settings)
    for name, value in to_environ(settings).items():
        monkeypatch.setenv(name, value)
    world = ClickHouseWorld(settings)
    yield world
    world.client.disconnect()


def rollups(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["rollups", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_refresh_check_and_rebuild_say_what_differs_and_what_was_done(world: ClickHouseWorld) -> None:
    assert "0 buckets" in rollups("refresh")
    assert "0 days compared" in rollups("check")
    world.add("p", at(1, 7), range(3))
    world.add("[red]/", at(20, 7), [9])
    checked = rollups("check", code=1)
    assert f"events_hourly: project p, {ago(1)} 07:00 UTC: 3 events, 0 in the roll-up" in checked
    assert "[red]/" in rollups("check", "--from", "30d", code=1)
    assert "2 buckets differed" in rollups("refresh")
    assert "0 buckets differ" in rollups("check", "--from", str(ago(30)), "--to", "0m")
    world.client.execute("ALTER TABLE events UPDATE anonymous_id = 'x' WHERE 1 SETTINGS mutations_sync = 2")
    assert "`rebuild`" in rollups("check", code=1)
    assert "1 days would be computed anew" in rollups("rebuild", "--from", str(ago(1)), "--to", str(ago(1)))
    rollups("check", code=1)
    assert "1 days computed anew" in rollups("rebuild", "--from", str(ago(1)), "--to", str(ago(1)), "--yes")
    assert "0 buckets differ" in rollups("check")
    world.erase([9])
    kept = rollups("check", "--from", "30d")
    assert "0 buckets differ" in kept
    assert "1 buckets without any event are kept" in kept
    assert "left out: this hour, and hours that got events within the last 300 s" in kept
    assert "1 buckets without any event are kept" in rollups("refresh")
    listed = rollups("refresh", "--remove-empty")
    assert f"{ago(20)}: 1 buckets of 1 events" in listed
    assert "1 buckets without any event would be removed; add --yes" in listed
    assert sum(world.hourly().values()) == 4
    assert "1 buckets without any event were removed" in rollups("refresh", "--remove-empty", "--yes")
    assert sum(world.hourly().values()) == sum(world.daily().values()) == 3
    assert "--remove-empty" in rollups("refresh", "--yes", code=2)
    world.double("events_daily")
    assert "events_daily: project p" in rollups("check", code=1)
    assert "--from" in rollups("rebuild", code=2)
    assert "is after" in rollups("check", "--from", "1d", "--to", "9d", code=2)
    assert "neither" in rollups("check", "--from", "yesterday", code=2)


def test_what_may_have_expired_is_said_and_left(world: ClickHouseWorld) -> None:
    world.add("p", at(19, 7), range(2))
    world.add("p", at(1, 7), [5])
    rollups("refresh")
    world.client.execute("ALTER TABLE events MODIFY TTL toDateTime(timestamp) + INTERVAL 20 DAY")
    world.erase([0, 1])
    for arguments in (["refresh"], ["rebuild", "--from", "30d", "--yes"], ["check", "--from", "30d"]):
        assert f"before {ago(18)} events may have expired" in rollups(*arguments)
    assert sum(world.hourly().values()) == 3
