"""Roll-ups that are compared and replaced: the same suite for ClickHouse and for what stands in for it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from docker.local.clickhouse import ClickHouseServer
from schemas.settings import Settings
from sinks.clickhouse.client import Client
from sinks.clickhouse.rollup_tables import ClickHouseRollups
from sinks.rollups.buckets import DAY_S, HOUR_S, Bucket, Emptied
from sinks.rollups.refresh import Refresher
from tests.sinks.rollups.worlds import ClickHouseWorld, MemoryRollups, World, ago, at

DAYS = 22  # so far back is looked: further than any event of most tests


@pytest.fixture(scope="module")
def module_world(module_tables: Settings) -> Iterator[ClickHouseWorld]:
    world = ClickHouseWorld(module_tables)
    yield world
    world.client.disconnect()


@pytest.fixture
def clickhouse_world(clickhouse_server: ClickHouseServer, module_world: ClickHouseWorld) -> ClickHouseWorld:
    """The module's tables, empty."""
    for table in ("events", "events_hourly", "events_daily"):
        module_world.client.execute(f"TRUNCATE TABLE {table}")
    module_world.client.execute("ALTER TABLE events_hourly MODIFY COMMENT ''")
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


def test_what_has_no_event_any_more_stays_until_it_is_removed(world: World) -> None:
    dropped, late = start(at(20, 7)), start(at(19, 0))
    world.add("p", at(20, 7), [1, 2])
    world.add("q", at(20, 7), [3, 4])
    world.add("p", at(20, 9), [5])
    refresh(world)
    was = world.hourly()
    world.erase([1, 2, 3, 4, 5])  # as DROP PARTITION does
    world.add("r", at(19, 0), [6])  # late, and of somebody else
    world.add("r", at(20, 7), [7])  # even in the same hour
    assert refresh(world) == 2
    assert refresh(world) == 0
    kept = was | {("r", late): 1, ("r", dropped): 1}
    assert world.hourly() == kept
    assert world.daily()["p", start(dropped, DAY_S)] == 3
    assert wrong(world) == []
    assert world.tables.emptied(ago(21), ago(-1)) == [Emptied(ago(20), 3, 5)]
    world.tables.replace_hours(ago(20), None)
    world.tables.replace_day(ago(20))
    assert world.daily()["p", start(dropped, DAY_S)] == 3  # the day outlives its hours in the same way
    assert world.tables.emptied(ago(21), ago(-1)) == [Emptied(ago(20), 2, 5)]
    world.tables.replace_day(ago(20), remove_empty=True)
    assert world.hourly() == {("r", late): 1, ("r", dropped): 1}
    assert world.daily() == {("r", start(late, DAY_S)): 1, ("r", start(dropped, DAY_S)): 1}
    assert world.tables.emptied(ago(21), ago(-1)) == []


def test_a_day_of_which_nothing_is_left_can_be_removed(world: World) -> None:
    world.add("p", at(1, 7), [1])
    refresh(world)
    world.erase([1])
    refresh(world)
    assert world.tables.span() == (ago(1), ago(1))
    world.tables.replace_hours(ago(1), None)
    world.tables.replace_day(ago(1), remove_empty=True)
    assert world.hourly() == world.daily() == {}


@pytest.mark.parametrize("table", ["events_hourly", "events_daily"])
def test_whatever_else_was_done_to_them_is_seen_and_undone(world: World, table: str) -> None:
    world.add("p", at(2, 7), range(3))
    refresh(world)
    world.double(table)
    assert wrong(world) != []
    refresh(world)
    assert wrong(world) == []


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
        "{}|https://shop.example/|https://www.shop.example/cart": "",
        "{}|https://WWW.Shop.example/|https://shop.EXAMPLE/cart": "",
        "{}|https://shop.example/|https://WWW.Google.com/": "google.com",
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
    world.client.execute("ALTER TABLE events_hourly MODIFY COMMENT 'mine [closed before 2020-01-01]'")
    refresh(world)
    for statement in ("MODIFY TTL toDateTime(timestamp) + INTERVAL 200 DAY", "REMOVE TTL"):
        world.client.execute(f"ALTER TABLE events {statement}")
        assert world.tables.open_from() == ago(18)  # what has expired does not come back
        assert refresh(world) == 0
    comment = "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = 'events_hourly'"
    assert world.client.execute(comment) == [(f"mine [closed before {ago(18)}]",)]
    world.client.execute("ALTER TABLE events_hourly MODIFY COMMENT ''")
    assert world.tables.open_from() is None
    assert refresh(world) == 1  # the negative control: an open day would have lost it


class Interrupted(Client):
    """Once, when a day has been filled beside, another process comes in between."""

    def __init__(self, world: ClickHouseWorld, target: str, between: Callable[[], None]) -> None:
        super().__init__(world.settings)
        self._target = target
        self._between: Callable[[], None] | None = between

    def execute(
        self,
        query: str,
        values: Mapping[str, Any] | Sequence[tuple[Any, ...]] | None = None,
        *,
        columnar: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        answer = super().execute(query, values, columnar=columnar, settings=settings)
        copied = query.startswith("INSERT INTO _rollup_") and f"FROM {self._target}" in query
        if copied and (between := self._between) is not None:
            self._between = None
            between()
        return answer


def test_a_round_does_not_undo_a_rebuild_that_came_in_between(clickhouse_world: ClickHouseWorld) -> None:
    world = clickhouse_world
    world.add("p", at(1, 7), range(3))
    refresh(world)
    world.client.execute("ALTER TABLE events UPDATE anonymous_id = 'x' WHERE 1 SETTINGS mutations_sync = 2")
    world.add("p", at(1, 9), [9])

    def rebuild() -> None:
        world.tables.replace_hours(ago(1), None)
        world.tables.replace_day(ago(1))

    client = Interrupted(world, "events_hourly", rebuild)
    Refresher(ClickHouseRollups(client), lambda: 0.0).refresh(ago(2), ago(0))
    client.disconnect()
    assert wrong(world) == []


def test_what_a_killed_process_left_is_dropped_once_it_is_old_and_nobody_elses(
    clickhouse_world: ClickHouseWorld,
) -> None:
    client = clickhouse_world.client
    ours = "_rollup_" + "0a" * 16
    strangers = ["_rollup_of`mine", ours + "0", "x" + ours]
    for name in (ours, *strangers):
        client.execute(f"CREATE TABLE `{name.replace('`', '``')}` (x UInt8) ENGINE = Memory")
    names = "SELECT name FROM system.tables WHERE database = currentDatabase() AND position(name, '_rollup_') > 0"
    clickhouse_world.tables.drop_leftovers()
    assert {name for (name,) in client.execute(names)} == {ours, *strangers}  # it may be another's, at work
    clickhouse_world.tables.drop_leftovers(older_s=0)
    assert {name for (name,) in client.execute(names)} == set(strangers)
    for name in strangers:
        client.execute(f"DROP TABLE `{name.replace('`', '``')}` SYNC")


def test_a_bucket_with_an_event_that_was_just_processed_can_be_left_out(clickhouse_world: ClickHouseWorld) -> None:
    world = clickhouse_world
    world.add("p", at(1, 7), [1])
    world.add("p", at(1, 9), [2])
    world.client.execute(
        "ALTER TABLE events UPDATE processed_at = now64(3) WHERE source_offset = 2 SETTINGS mutations_sync = 2"
    )
    assert len(world.tables.wrong_hours(ago(1))) == 2
    just_before = int(time.time()) - 300
    assert [each.start for each in world.tables.wrong_hours(ago(1), just_before)] == [start(at(1, 7))]


def test_another_operators_column_is_in_nobodys_way(clickhouse_world: ClickHouseWorld) -> None:
    clickhouse_world.client.execute("ALTER TABLE events_hourly ADD COLUMN team String DEFAULT 'none'")
    clickhouse_world.add("p", at(1, 7), [1])
    assert refresh(clickhouse_world) == 1
    clickhouse_world.client.execute("ALTER TABLE events_hourly DROP COLUMN team")
