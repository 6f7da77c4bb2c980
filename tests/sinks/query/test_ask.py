"""From what was typed to a statement, without a server: what is asked, and what is refused with which words."""

import re
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.properties import MaterializedProperty, PropertyType
from sinks.query.answers import Form
from sinks.query.ask import Asked, Project, Question, question
from sinks.query.catalog import queries
from sinks.query.errors import QuestionError
from sinks.query.projects import properties_with_columns
from sinks.query.statement import Statement

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PROJECT = Project("tenant", "project")
PLAN = MaterializedProperty("plan", PropertyType.STRING, "property_plan")


def asked(
    query: str, *, where: Sequence[str] = (), people: str = "users", tz: str = "UTC", **own: Sequence[str]
) -> Question:
    """The question, with its own options."""
    return question(queries()[query], Asked(tz=tz, people=people, where=where, own=own), PROJECT, NOW)


# Letters that no query has: what is found of them in a statement was typed.
@given(st.text(alphabet=st.sampled_from("ßæ'\\\"{}%; \n:,=<>~$`"), min_size=1).filter(lambda text: "ß" in text))
def test_nothing_that_was_typed_is_part_of_the_query(text: str) -> None:
    for found in (
        asked("funnel", step=[text, f"page:{text}", f"x where property:a={text}"]),
        asked("history", person=[text], where=[f"event={text}", f"property:a~{text}"]),
        asked("paths", after=[text]),
        asked("sources", conversion=[text], where=[f"source={text}"]),
    ):
        assert "ß" not in found.statement.sql


@pytest.mark.parametrize(
    ("query", "options", "words"),
    [
        ("pages", {"where": ["contry=DE"]}, "did you mean country?"),
        ("pages", {"where": ["country"]}, "is not a filter like property:price>=10"),
        ("pages", {"where": ["country>DE"]}, "country is text, and > compares numbers"),
        ("pages", {"where": ["property:price>=ten"]}, "'ten' is not a number"),
        ("pages", {"where": ["property:price>=nan"]}, "'nan' is not a number"),
        ("pages", {"where": ["property:=x"]}, "is not a filter"),
        ("pages", {"where": ['property:"a\\x"=1']}, "is not a name in double quotes"),
        ("pages", {"where": ["source=x"]}, "no dimension 'source'"),
        ("sessions", {"where": ["property:plan=pro"]}, "sessions have no properties"),
        ("sources", {"by": ["property:plan"]}, "sessions have no properties"),
        ("trends", {"by": ["property:"]}, "no name of a property: '': an empty key"),
        ("trends", {"by": ["day"]}, "no dimension 'day'"),
        ("trends", {"every": ["year"]}, "'year' is none of hour, day, week, month"),
        ("trends", {"top": ["0"]}, "'0' is not a whole number from 1 to 10,000"),
        ("trends", {"top": ["9" * 5000]}, "is not a whole number"),
        ("trends", {"top": ["10001"]}, "from 1 to 10,000"),
        ("paths", {"after": ["A"], "depth": ["101"]}, "from 1 to 100"),
        ("live", {"minutes": ["525601"]}, "from 1 to 525,600"),
        ("history", {"person": ["a"], "limit": ["10000001"]}, "from 1 to 10,000,000"),
        ("history", {"person": [""]}, "--person is empty"),
        ("sessions", {"person": [""]}, "--person is empty"),
        ("sources", {"conversion": [""]}, "--conversion is empty"),
        ("pages", {"where": ["property:price>=1e999"]}, "'1e999' is not a number"),
        ("pages", {"where": ['property:"\\ud800"=1']}, "is not a name in double quotes"),
        ("trends", {"top": ["4294967296"]}, "is not a whole number"),
        ("trends", {"top": ["²"]}, "is not a whole number"),
        ("live", {"minutes": ["5,x"]}, "'x' is not a whole number"),
        ("funnel", {"step": []}, "--step is missing"),
        ("funnel", {"step": [""]}, "names no event"),
        ("funnel", {"step": ["page:"]}, "names no event"),
        ("funnel", {"step": ["A where property:x>y"]}, "'y' is not a number"),
        ("funnel", {"step": ["A"], "window": ["week"]}, "is not a length of time"),
        ("paths", {}, "paths needs --after or --before"),
        ("paths", {"after": ["A"], "before": ["B"]}, "paths needs --after or --before, not both"),
        ("pages", {"people": "persons"}, "people are counted as users or visitors"),
        ("pages", {"tz": "Kolkata"}, "no zone 'Kolkata'"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(query: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(QuestionError) as caught:
        asked(query, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_is_given_twice_is_asked_once() -> None:
    assert asked("live", minutes=["5,30,5", "30"]).statement.values["minutes"] == [5, 30]
    assert asked("funnel", step=["A", "A"]).statement.values["step"] == ["A", "A"]


@pytest.mark.parametrize("column", ["property_price", ""])
def test_a_number_that_a_float_holds_exactly_is_compared_as_one(column: str) -> None:
    price = {"price": MaterializedProperty("price", PropertyType.FLOAT64, column)} if column else {}

    def kinds(where: str) -> set[str]:
        found = question(queries()["pages"], Asked(where=[where]), PROJECT, NOW, price).statement.sql
        return set(re.findall(r"\{value_\d:(\w+)\}", found))

    assert kinds("property:price>9007199254740991") == kinds("property:price>0.5") == {"Float64"}
    assert kinds("property:price>9007199254740993") == {"Float64", "Int64"}
    assert kinds("property:price=1234567890123456789") == {"String"}


def test_a_name_that_holds_the_words_of_a_filter_is_a_name() -> None:
    values = asked("funnel", step=["Find where to buy", "A where country=DE and city=A and B"]).statement.values
    assert {name: value for name, value in values.items() if name.startswith(("step_", "value_"))} == {
        "step_1": "Find where to buy",
        "step_2": "A",
        "value_1": "DE",
        "value_2": "A and B",
    }


def test_the_properties_that_are_asked_for_are_known() -> None:
    found = asked(
        "funnel", step=["A where property:b=1", "C"], where=["property:a>1", 'property:"x=y"!=1', "property:b~2"]
    )
    assert found.properties == ("a", "x=y", "b")


def test_a_property_s_column_is_read_where_the_type_fits() -> None:
    columns = {"plan": MaterializedProperty("plan", PropertyType.STRING, "property_plan")}

    def sql(people: str, where: str) -> str:
        asked = Asked(people=people, where=[where], own={"by": ["property:plan"]})
        return question(queries()["trends"], asked, PROJECT, NOW, columns).statement.sql

    assert "JSONExtract" not in sql("visitors", "property:plan=pro")
    assert "property_plan" in sql("visitors", "property:plan=pro")
    assert "JSONExtract" in sql("visitors", "property:plan>1")
    assert "property_plan" in sql("users", "property:plan=pro")


def test_a_history_asks_for_one_person_once_it_is_known_who_that_is() -> None:
    def source(people: str, user: str | None) -> tuple[str, bool]:
        asked = Asked(people=people, own={"person": ["phone"]})
        found = question(queries()["history"], asked, PROJECT, NOW, user=user)
        return found.source, "FROM person_events(tenant = {tenant:String}, user = {user:String})" in found.statement.sql

    assert source("users", "ann") == ("person_events", True)
    assert source("users", None) == ("events", False)
    assert source("visitors", None) == ("events", False)


class OneView:
    """A database where the table has the column, and one view."""

    def rows(self, statement: Statement) -> list[list[str]]:
        return [] if "'without'" in statement.sql else [[PLAN.column, PLAN.comment]]

    def stream(self, statement: Statement, form: Form) -> Generator[bytes]:
        raise NotImplementedError


def test_a_view_is_asked_which_columns_it_has() -> None:
    assert properties_with_columns(OneView(), PROJECT, "events") == {"plan": PLAN}
    assert properties_with_columns(OneView(), PROJECT, "without") == {}


def test_only_the_values_that_a_text_asks_for_are_sent() -> None:
    statement = asked("pages", where=["country=DE"]).statement
    assert statement.sent().keys() == {"tenant", "project", "from", "to", "robots", "limit", "value_1"}
    assert statement.sent()["from"] == "2026-11-01 00:00:00.000"
    assert "{" not in statement.pasted()
