"""Roll-ups that are compared and replaced: the same suite for ClickHouse and for what stands in for it."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from docker.local.clickhouse import ClickHouseServer
from schemas.apply.tables import apply_tables
from schemas.settings import Settings
from sinks.rollups.buckets import DAY_S, Bucket
from sinks.rollups.refresh import Refresher
from tests.sinks.rollups.worlds import HOUR_S, ClickHouseWorld, MemoryRollups, World, ago, at

DAYS = 22  # so far back is looked: further than any event of most tests


@pytest.fixture(scope="module")
def module_world(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseWorld]:
    database = f"t{uuid.uuid4().hex[:10]}"
    settings = Settings.model_validate(
        {
            "clickhouse_host": clickhouse_server.host,
            "clickhouse_tcp_port": clickhouse_server.tcp_port,
            "clickhouse_database": database,
        }
    )
    apply_tables(settings)
    world = ClickHouseWorld(settings)
    yield world
    world.client.execute(f"DROP DATABASE {database} SYNC")
    world.client.disconnect()


@pytest.fixture
def clickhouse_world(clickhouse_server: ClickHouseServer, module_world: ClickHouseWorld) -> ClickHouseWorld:
    """The module's tables, empty."""
    for table in ("events", "events_hourly", "events_daily"):
        module_world.client.execute(f"TRUNCATE TABLE {table}")
    return module_world


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> Any:
    return MemoryRollups() if request.param == "memory" else request.getfixturevalue("clickhouse_world")


def refresh(world: World, days: int = DAYS) -> int:
    """How many buckets were computed anew."""
    return Refresher(world.tables, lambda: 0.0).refresh(ago(days), ago(-1)).buckets


def wrong(world: World) -> list[Bucket]:
    days = [ago(number) for number in range(-1, DAYS)]
    return [bucket for day in days for bucket in (*world.tables.wrong_hours(day), *world.tables.wrong_days(day))]


def start(moment: int, size: int = HOUR_S) -> int:
    return moment // size * size


def test_after_a_refresh_they_are_the_events_and_another_one_finds_nothing_to_do(world: World) -> None:
    assert world.tables.span() is None
    assert refresh(world) == 0
    late, now = at(20, 3), at(1, 5)
    world.add("p", now, range(3))
    world.add("q", now, range(3, 5))
    world.add("p", late, range(5, 6))
    assert len(wrong(world)) == 3  # of the hourly; the daily one is made of it, and both are empty
    assert refresh(world) == 3
    assert world.hourly() == {("p", start(now)): 3, ("q", start(now)): 2, ("p", start(late)): 1}
    assert world.daily() == {("p", start(now, DAY_S)): 3, ("q", start(now, DAY_S)): 2, ("p", start(late, DAY_S)): 1}
    assert refresh(world) == 0
    assert wrong(world) == []
    assert world.tables.span() == (ago(20), ago(1))


def test_late_events_and_erased_ones_are_seen_wherever_they_are(world: World) -> None:
    early, noon = at(10, 0), at(10, 12)
    world.add("p", early, range(4))
    world.add("p", noon, range(10, 14))
    refresh(world)
    world.add("p", early, range(4, 6))
    world.erase([0])
    assert world.tables.differing(ago(10), ago(10)) == [Bucket("tenant", "p", start(early), 5, 4)]
    assert refresh(world) == 1
    assert world.hourly() == {("p", start(early)): 5, ("p", start(noon)): 4}  # the other hour of the day is as it was
    world.erase([10])
    world.add("p", noon, [20])  # as many as before, and others
    assert refresh(world) == 1
    assert wrong(world) == []


def test_a_bucket_whose_last_event_is_erased_is_gone(world: World) -> None:
    alone = at(1, 7)
    world.add("p", alone, [1])
    world.add("q", alone, [2])
    refresh(world)
    world.erase([1])
    refresh(world)
    assert world.hourly() == {("q", start(alone)): 1}
    world.add("q", start(alone) - HOUR_S, [3])
    refresh(world)
    world.erase([2])
    refresh(world)
    assert world.daily() == {("q", start(alone, DAY_S)): 1}
    world.add("q", at(1, 7) - DAY_S if ago(2).month == ago(1).month else at(0, 0), [4])
    world.erase([3])
    refresh(world)  # nothing of that day is left, and events of its month are
    assert ("q", start(alone, DAY_S)) not in world.daily()
    assert wrong(world) == []


@pytest.mark.parametrize("table", ["events_hourly", "events_daily"])
def test_whatever_else_was_done_to_them_is_seen_and_undone(world: World, table: str) -> None:
    world.add("p", at(2, 7), range(3))
    refresh(world)
    world.double(table)
    assert wrong(world) != []
    refresh(world)
    assert wrong(world) == []


def test_a_month_without_any_event_keeps_its_buckets(world: World) -> None:
    old, new = at(39, 7), at(0, 0)
    world.add("p", old, range(3))
    world.add("p", new, range(3, 6))
    refresh(world, 40)
    world.erase(range(3))  # as DROP PARTITION does
    done = Refresher(world.tables, lambda: 0.0).refresh(ago(40), ago(-1))
    assert (done.buckets, done.kept) == (0, 1)
    assert world.hourly()["p", start(old)] == 3
    assert world.daily()["p", start(old, DAY_S)] == 3


def test_each_visitor_and_session_counts_once_over_any_buckets(clickhouse_world: ClickHouseWorld) -> None:
    world = clickhouse_world
    world.add("p", at(1, 7), range(6))
    world.add("p", at(1, 9), range(6, 9))
    refresh(world)
    for table in ("events_hourly", "events_daily"):
        assert world.client.execute(
            f"SELECT sum(events), uniqCombinedMerge(visitors), uniqCombinedMerge(sessions) FROM {table}"
        ) == [(9, 3, 9)]


def test_the_source_is_the_campaign_or_else_who_referred_from_elsewhere(clickhouse_world: ClickHouseWorld) -> None:
    cases = {
        '{"campaign":{"source":"mail"}}|https://shop.example/?utm_source=ads|https://t.co/a': "mail",
        "{}|https://shop.example/?utm_source=summer%20ads|https://t.co/a": "summer ads",
        "{}|https://shop.example/|https://www.google.com/search": "google.com",
        "{}|https://shop.example/|https://shop.example/cart": "",
        "{}|https://shop.example/|": "",
        "no JSON|nonsense|nonsense": "",
    }
    for number, case in enumerate(cases):
        context, url, referrer = case.split("|")
        clickhouse_world.client.execute(
            "INSERT INTO events (project_id, timestamp, context, page_url, page_referrer, source_offset, page_path) "
            "SELECT 'p', now64(3), %(context)s, %(url)s, %(referrer)s, %(number)s, toString(%(number)s)",
            {"context": context, "url": url, "referrer": referrer, "number": number},
        )
    refresh(clickhouse_world)
    found = clickhouse_world.client.execute("SELECT source FROM events_hourly ORDER BY page_path")
    assert [source for (source,) in found] == list(cases.values())


def test_rows_updated_in_place_are_wrong_until_they_are_made_anew(clickhouse_world: ClickHouseWorld) -> None:
    world = clickhouse_world
    world.add("p", at(1, 7), range(6))
    refresh(world)
    world.client.execute("ALTER TABLE events UPDATE anonymous_id = 'x' WHERE 1 SETTINGS mutations_sync = 2")
    assert refresh(world) == 0
    assert [bucket.project_id for bucket in wrong(world)] == ["p"]
    world.tables.replace_hours(ago(1), None)
    world.tables.replace_day(ago(1))
    assert wrong(world) == []


def test_days_whose_events_may_have_expired_are_closed(clickhouse_world: ClickHouseWorld) -> None:
    world = clickhouse_world
    assert world.tables.open_from() in (ago(728), ago(729), ago(727))
    world.add("p", at(19, 7), range(3))
    world.add("p", at(0, 0), [9])
    refresh(world)
    world.client.execute("ALTER TABLE events MODIFY TTL toDateTime(timestamp) + INTERVAL 20 DAY")
    assert world.tables.open_from() == ago(18)
    world.erase([0])  # what TTL leaves of a day that it is half through with
    assert refresh(world) == 0
    assert world.hourly()["p", start(at(19, 7))] == 3
    world.client.execute("ALTER TABLE events REMOVE TTL")
    assert world.tables.open_from() is None
    assert refresh(world) == 1  # the negative control: an open day would have lost it


def test_a_table_that_a_killed_process_left_is_dropped_once_it_is_old(clickhouse_world: ClickHouseWorld) -> None:
    client = clickhouse_world.client
    client.execute("CREATE TABLE _rollup_dead (x UInt8) ENGINE = Memory")
    clickhouse_world.tables.drop_leftovers()
    count = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, '_rollup_')"
    assert client.execute(count) == [(1,)]  # it may be another's, at work
    refresh(clickhouse_world)
    assert client.execute(count) == [(1,)]


def test_another_operators_column_is_in_nobodys_way(clickhouse_world: ClickHouseWorld) -> None:
    clickhouse_world.client.execute("ALTER TABLE events_hourly ADD COLUMN team String DEFAULT 'none'")
    clickhouse_world.add("p", at(1, 7), [1])
    assert refresh(clickhouse_world) == 1
    clickhouse_world.client.execute("ALTER TABLE events_hourly DROP COLUMN team")
