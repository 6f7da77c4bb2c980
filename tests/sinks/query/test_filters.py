"""Filters and properties as the server understands them: whatever was typed is a value, and never SQL."""

import json

import pytest

from schemas.properties import property_name
from sinks.database import open_answers
from sinks.errors import ReadFailedError
from sinks.query.answers import Form
from sinks.query.statement import Statement
from tests.sinks.query.stories import Story, second
from tests.waiting import wait_until

NASTY = (
    "' OR 1 = 1 --",
    "\\' OR 1 = 1 --",
    "\\",
    "a\tb\nc\rd",
    "{tenant:String}",
    "{{events}}",
    "%(x)s $1 ${y} $__timeFilter",
    "/* */ ; DROP TABLE events",
    "Kölner 😀",
    "[x,'y']",
    "\\N",
    "NULL",
    "a=b>=c",
    "x where y",
)


def test_whatever_is_typed_is_a_value(story: Story) -> None:
    for number, text in enumerate(NASTY):
        story.event("ann", text, second(number), properties={"note": text, text: "here"})
        story.event("bob", "other", second(number), properties={"note": "other"})
    for text in NASTY:
        key = json.dumps(property_name(text))
        where = [f"property:note={text}", f"event={text}", f"property:note~{text}", f"property:{key}=here"]
        assert story.ask("history", "event", where=where, person="ann", people="visitors") == [text]


def test_whatever_is_typed_is_a_value_in_lists_and_pasted_somewhere_else(story: Story) -> None:
    for number, text in enumerate(NASTY):
        story.event("ann", text, second(number), properties={"note": text})
    for options in ({"step": NASTY}, {"step": [f"{text} where property:note={text}" for text in NASTY]}):
        rows = story.ask("funnel", **options)
        assert [row["event"] for row in rows] == list(options["step"])
        assert [row["people"] for row in rows] == [1] * len(NASTY)
        assert story.run(story.statement("funnel", **options).pasted()) == rows


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ("property:price>=10", ["ten", "ten as text", "twenty"]),
        ("property:price>10", ["twenty"]),
        ("property:price<10.5", ["ten", "ten as text"]),
        ("property:price=10", ["ten", "ten as text"]),
        ("property:price!=10", ["none", "null", "twenty", "word"]),
        ("property:price=", []),
        ("property:price~1", ["ten", "ten as text"]),
        ("property:price=cheap", ["word"]),
        ("property:price = 20", ["twenty"]),
    ],
)
def test_a_property_compares_as_text_and_as_number(story: Story, where: str, fits: list[str]) -> None:
    prices = {"ten": 10, "ten as text": "10", "twenty": 20.0, "word": "cheap", "null": None}
    for visitor, price in prices.items():
        story.event(visitor, "A", second(0), properties={"price": price})
    story.event("none", "A", second(0))
    assert sorted(story.ask("trends", "value", by="visitor", where=[where], every="month")) == fits


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ("property:id=1234567890123456789", ["id"]),
        ("property:id!=1234567890123456789", ["before", "large", "seven", "seven as text", "thousand", "zeros"]),
        ("property:id>1234567890123456788", ["id", "large"]),
        ("property:id=18446744073709551615", ["large"]),
        ("property:id=7", ["seven", "seven as text"]),
        ("property:id=7.0", ["seven", "seven as text"]),
        ("property:id=007", ["zeros"]),
        ("property:id<=7", ["seven", "seven as text", "zeros"]),
        ("property:id=1e3", ["thousand"]),
        ("property:id=1000", ["thousand"]),
    ],
)
def test_a_large_id_is_itself_alone_and_a_text_of_digits_is_a_text(story: Story, where: str, fits: list[str]) -> None:
    ids = {"id": 1234567890123456789, "before": 1234567890123456788, "large": 2**64 - 1, "thousand": 1e3}
    for visitor, one in (ids | {"seven": 7.0, "seven as text": "7", "zeros": "007"}).items():
        story.event(visitor, "A", second(0), properties={"id": one})
    assert sorted(story.ask("trends", "value", by="visitor", where=[where], every="month")) == fits


def test_several_filters_must_all_hold(story: Story) -> None:
    story.event("ann", "A", second(0), country_code="DE", properties={"plan": "pro"})
    story.event("bob", "A", second(0), country_code="DE", properties={"plan": "free"})
    story.event("cleo", "A", second(0), country_code="FR", properties={"plan": "pro"})
    where = ["country=DE", "property:plan=pro"]
    assert story.ask("trends", "value", by="visitor", every="month", where=where) == ["ann"]
    assert story.ask("trends", "value", "events", by="property:plan", every="month") == [("pro", 2), ("free", 1)]


def test_what_has_no_value_is_none(story: Story) -> None:
    story.event("ann", "A", second(0), properties={"plan": None, "on": True})
    story.event("bob", "A", second(0), properties={"plan": "", "on": False})
    story.event("cleo", "A", second(0))
    assert story.ask("trends", "value", "events", by="property:plan", every="month") == [("(none)", 3)]
    assert story.ask("trends", "value", by="property:on", every="month") == ["(none)", "false", "true"]


def test_another_project_s_and_another_tenant_s_events_are_not_there(story: Story) -> None:
    story.event("ann", "A", second(0))
    story.event("ann", "A", second(0), project_id="another")
    story.event("ann", "A", second(0), tenant_id="another")
    story.session("ann", second(0))
    story.session("ann", second(0), project_id="another")
    story.session("ann", second(0), tenant_id="another")
    assert len(story.ask("history", person="ann")) == 1
    assert len(story.ask("sessions")) == 1
    assert story.ask("trends", "events", every="month") == [1]


def test_a_question_changes_nothing(story: Story) -> None:
    with pytest.raises(ReadFailedError, match="readonly"):
        story.run("DROP TABLE events")


def test_a_question_that_nobody_waits_for_ends_on_the_server(story: Story) -> None:
    answers = open_answers(story.settings, timeout_s=0.5)
    mark = story.project.project_id
    slow = f"SELECT count(), '{mark}' FROM numbers(20000000000) WHERE cityHash64(number) = 1 SETTINGS max_threads = 1"
    asked = (
        f"SELECT query FROM system.processes WHERE query LIKE '%{mark}%20000000000%' AND query NOT LIKE '%processes%'"
    )
    with pytest.raises(ReadFailedError, match="timed out"):
        answers.rows(Statement(slow, {}))
    wait_until(lambda: not story.run(f"{asked} AND is_cancelled = 0"), lambda: story.run(asked), timeout_s=10)


def test_answers_come_in_each_form(story: Story) -> None:
    story.events("ann", ("page:/a,b", 0))
    story.write()
    statement = story.statement("pages")
    answers = open_answers(story.settings, 60.0)
    assert b"".join(answers.stream(statement, Form.CSV)).splitlines()[1] == b'"/a,b",1,1,1,100'
    assert b"".join(answers.stream(statement, Form.PARQUET))[:4] == b"PAR1"
    assert answers.rows(statement) == [["/a,b", "1", "1", "1", "100"]]
