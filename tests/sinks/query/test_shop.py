"""31,106 events of a shop (retentioneering's, Apache-2.0): the pack's answers against those of polars and loops."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import polars as pl
import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.packages import fetch
from tests.sinks.query.stories import Story, tables

EVENTS: Final = 31_106
PAGES: Final = {"home", "catalog", "cart", "promo_page", "account_page", "review_page"}
YEAR: Final = {"begin": "2024-01-01", "end": "2024-12-31", "people": "visitors"}


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """user, session, name, at, platform, channel; in the order of acceptance."""
    path = fetch("retentioneering") / "retentioneering" / "datasets" / "ecom.csv.gz"
    read = pl.read_csv(path, try_parse_dates=True)
    return read.select(
        user="user_id",
        session="session_id",
        name=pl.when(pl.col("event").is_in(PAGES)).then("page:/" + pl.col("event")).otherwise("event"),
        at=pl.col("timestamp").dt.replace_time_zone("UTC"),
        platform="platform",
        channel="acquisition_channel",
    )


@pytest.fixture(scope="module")
def shop(clickhouse_server: ClickHouseServer, events: pl.DataFrame) -> Iterator[Story]:
    with tables(clickhouse_server) as (client, settings):
        story = Story(client, settings)
        for user, session, name, at, platform, channel in events.iter_rows():
            properties = {"channel": channel, "platform": platform}
            story.event(user, name, at, session_id=session, properties=properties)
        story.write()
        yield story


def by_user(events: pl.DataFrame) -> dict[str, list[tuple[datetime, str]]]:
    """Each user's events, in order."""
    users: dict[str, list[tuple[datetime, str]]] = {}
    for user, at, name in events.sort("at", maintain_order=True).select("user", "at", "name").iter_rows():
        users.setdefault(user, []).append((at, name))
    return users


def furthest(events: list[tuple[datetime, str]], steps: list[str], window: timedelta) -> int:
    """How far somebody came: from each start on, the next step is taken where it can be taken first."""
    best = 0
    for number, (start, name) in enumerate(events):
        if name == steps[0]:
            taken = 1
            for at, later in islice(events, number + 1, None):
                if taken < len(steps) and later == steps[taken] and at - start <= window:
                    taken += 1
            best = max(best, taken)
    return best


def test_all_events_are_there(shop: Story, events: pl.DataFrame) -> None:
    assert events.height == EVENTS
    assert sum(shop.ask("trends", "events", every="month", **YEAR)) == EVENTS


@pytest.mark.parametrize("hours", [1, 24, 24 * 30])
@pytest.mark.parametrize(
    "steps",
    [
        ["page:/catalog", "product_view", "add_to_cart", "page:/cart", "purchase"],
        ["product_view", "product_view", "product_view"],
        ["purchase", "page:/home"],
    ],
    ids=["buying", "thrice", "back"],
)
def test_funnels(shop: Story, events: pl.DataFrame, steps: list[str], hours: int) -> None:
    came = Counter(furthest(own, steps, timedelta(hours=hours)) for own in by_user(events).values())
    expected = [sum(count for how_far, count in came.items() if how_far >= step) for step in range(1, len(steps) + 1)]
    assert expected[-1] > 0
    assert shop.ask("funnel", "people", step=steps, window=f"{hours}h", **YEAR) == expected


@pytest.mark.parametrize(("every", "truncation"), [("week", "1w"), ("month", "1mo")])
def test_retention(shop: Story, events: pl.DataFrame, every: str, truncation: str) -> None:
    periods = events.select("user", period=pl.col("at").dt.truncate(truncation).dt.date()).unique()
    cohorts = periods.join(periods.group_by("user").agg(cohort=pl.col("period").min()), on="user")
    expected = {
        (str(cohort), str(period)): people
        for cohort, period, people in cohorts.group_by("cohort", "period").len().iter_rows()
    }
    rows = shop.ask("retention", "cohort", "number", "people_back", every=every, **YEAR)
    found = pl.DataFrame(rows, ["cohort", "number", "people"], orient="row").with_columns(
        period=pl.col("cohort").str.to_date().dt.offset_by(pl.col("number").cast(pl.String) + truncation[1:])
    )
    there = found.filter(pl.col("people") > 0).select("cohort", pl.col("period").cast(pl.String), "people")
    assert {(cohort, period): people for cohort, period, people in there.iter_rows()} == expected


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Europe/Berlin"])
def test_trends_by_a_property(shop: Story, events: pl.DataFrame, zone: str) -> None:
    days = events.with_columns(day=pl.col("at").dt.convert_time_zone(zone).dt.date())
    counted = days.group_by("day", "channel").agg(events=pl.len(), people=pl.col("user").n_unique())
    expected = {(str(day), channel): (count, people) for day, channel, count, people in counted.iter_rows()}
    rows = shop.ask("trends", "period", "value", "events", "people", by="property:channel", tz=zone, **YEAR)
    assert {(day, channel): (count, people) for day, channel, count, people in rows if count} == expected
    assert len(rows) == 366 * events["channel"].n_unique()


def test_pages(shop: Story, events: pl.DataFrame) -> None:
    viewed = events.filter(pl.col("name").str.starts_with("page:"), pl.col("platform") == "mobile")
    counted = viewed.group_by("name").agg(pl.len(), pl.col("user").n_unique(), pl.col("session").n_unique())
    expected = {name.removeprefix("page:"): tuple(counts) for name, *counts in counted.iter_rows()}
    rows = shop.ask("pages", "page", "views", "people", "sessions", where=["property:platform=mobile"], **YEAR)
    assert {page: tuple(counts) for page, *counts in rows} == expected


def test_paths(shop: Story, events: pl.DataFrame) -> None:
    pause = timedelta(minutes=30)
    found: Counter[str] = Counter()
    for own in by_user(events).values():
        for number, (at, name) in enumerate(own):
            if name == "add_to_cart":
                path, last = [name], at
                for later, other in own[number + 1 : number + 3]:
                    if later - last > pause:
                        break
                    path.append(other)
                    last = later
                found[" → ".join(path if len(path) == 3 else [*path, "(end)"])] += 1
    rows = shop.ask("paths", "path", "times", after="add_to_cart", depth="2", limit="10000", **YEAR)
    assert dict(rows) == dict(found)


def test_live_numbers(shop: Story, events: pl.DataFrame) -> None:
    now = datetime(2024, 5, 15, 18, 0, tzinfo=UTC)
    expected = []
    for minutes in (5, 30, 600):
        there = events.filter(pl.col("at") >= now - timedelta(minutes=minutes), pl.col("at") < now)
        expected.append((minutes, there["user"].n_unique(), there["session"].n_unique(), there.height))
    assert expected[-1][-1] > 0
    asked = {"minutes": "5,30,600", "end": "now", "now": now, "people": "visitors"}
    assert shop.ask("live", "minutes", "people", "sessions", "events", **asked) == expected


@pytest.mark.parametrize("people", ["visitors", "users"])
@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("trends", {"by": "property:channel"}),
        ("funnel", {"step": ["add_to_cart"], "window": "1d"}),
        ("retention", {}),
        ("history", {"person": "user_0000"}),
        ("pages", {}),
        ("paths", {"after": "purchase"}),
        ("live", {}),
    ],
)
def test_a_week_s_question_reads_that_part_of_the_table(
    shop: Story, query: str, options: dict[str, Any], people: str
) -> None:
    asked = shop.statement(query, begin="2024-03-11", end="2024-03-17", people=people, **options)
    assert 0 < shop.rows_to_read(asked.pasted()) < EVENTS / 4


def test_without_a_range_all_is_read(shop: Story) -> None:
    """The measure above can fail."""
    assert shop.rows_to_read("SELECT count() FROM events WHERE event_name = 'purchase'") >= EVENTS
