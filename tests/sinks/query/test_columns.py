"""A property that has a column is read from it, however people are counted, and from the JSON where a view lacks it."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from clickhouse_driver import Client

from schemas.apply import materialize, property_views
from schemas.apply.tables import replacement
from schemas.properties import MaterializedProperty, PropertyType
from schemas.settings import Settings
from sinks.query.pieces import PEOPLE
from tests.sinks.query.stories import Story, second

TIER = MaterializedProperty("tier", PropertyType.STRING, "property_tier")
QUESTIONS: dict[str, dict[str, Any]] = {
    "trends": {"by": "property:tier", "every": "month"},
    "funnel": {"step": "A where property:tier=gold"},
    "retention": {"start": "A where property:tier=gold"},
    "paths": {"after": "A where property:tier=gold"},
    "pages": {"where": ["property:tier=gold"]},
    "live": {"where": ["property:tier=gold"], "end": "2026-03-02T12:01"},
}


@pytest.fixture
def told(story: Story) -> Story:
    """One visitor, linked to a user, of whom the events have the property."""
    story.event("phone", "A", second(0), properties={"tier": "gold"})
    story.event("phone", "page:/", second(1), properties={"tier": "gold"})
    story.link("phone", "ann")
    story.write()
    return story


@pytest.fixture
def client(story_tables: tuple[Client, Settings], told: Story) -> Iterator[Client]:
    """With a column for the property, and everything as it was afterwards."""
    client, _ = story_tables
    materialize.add(client, TIER)
    client.execute("OPTIMIZE TABLE events FINAL")  # writes it into every part
    property_views.follow(client)
    yield client
    materialize.drop(client, TIER)


def test_the_json_is_not_read_where_there_is_a_column(told: Story, client: Client) -> None:
    for (name, options), people in product(QUESTIONS.items(), PEOPLE):
        read = told.columns_read(told.statement(name, people=people, **options).pasted())
        assert ("property_tier" in read, "properties" in read) == (True, False), (name, people)
    # A history shows the whole document as well.
    for person in ("ann", "phone"):
        where = ["property:tier=gold"]
        assert "property_tier" in told.statement("history", person=person, where=where).sql
        assert told.ask("history", "person", person=person, where=where) == ["ann", "ann"]


def test_the_json_is_read_where_a_view_has_no_column(told: Story, client: Client) -> None:
    unlisted = ", asterisk_include_materialized_columns = 1"
    client.execute(replacement("events_resolved").replace(unlisted, ""))
    statement = told.statement("pages", where=["property:tier=gold"])
    assert "properties" in told.columns_read(statement.pasted())
    assert told.ask("pages", "people", where=["property:tier=gold"]) == [1]
    client.execute(replacement("events_resolved"))
