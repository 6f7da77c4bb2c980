"""What a query's file says of itself, and what each must hold."""

import re
from dataclasses import replace

import pytest

from sinks.query.catalog import Kind, Option, Query, parse, queries
from sinks.query.dimensions import Subject

# Behind each table that a query reads: whose rows; behind the one that it is asked of also when, and whether of robots.
OWNERS = ("tenant_id = {tenant:String}", "project_id = {project:String}")
ROBOTS = "({robots:Bool} OR NOT is_bot)"
BOUNDS = (*OWNERS, ROBOTS, "{{where}}")


def unbounded(query: Query) -> list[str]:
    """What a query lacks, for each table that it reads."""
    missing = []
    _, *sources = re.split(r"FROM \{\{(events|sessions|conversations)\}\}", query.sql)
    for subject, source in zip(sources[::2], sources[1::2], strict=True):
        clause = re.split(r"\n *(?:GROUP BY|ORDER BY|\))", source)[0]
        if subject != query.subject:
            missing += [bound for bound in OWNERS if bound not in clause]
            continue
        bounds = [bound for bound in BOUNDS if bound != ROBOTS or subject != Subject.CONVERSATIONS]
        missing += [bound for bound in bounds if bound not in clause]
        at = "started_at" if "started_at" in clause else "timestamp"
        # What lasts may have begun before the range.
        begins = (f"{at} >= {{", "ifNull(resolved_at, {to:DateTime64(3, 'UTC')}) >= {from:")
        missing += [] if any(begin in clause for begin in begins) else [begins[0]]
        missing += [] if f"{at} < {{to:" in clause else [f"{at} < {{to:"]
    return missing


@pytest.mark.parametrize("name", queries())
def test_each_query_reads_one_project_s_range_and_leaves_out_robots(name: str) -> None:
    sql = queries()[name].sql
    assert len(re.findall(r"\bFROM \{\{|\bFROM [a-z_]+\b(?!\()", sql)) == len(re.findall(r"\bFROM \{\{", sql)) > 0
    assert unbounded(queries()[name]) == []


@pytest.mark.parametrize("name", queries())
def test_each_query_says_what_it_answers_and_uses_its_options(name: str) -> None:
    query = queries()[name]
    assert query.question.endswith("?")
    assert query.about
    for option in query.options:
        stem = f"{option.name}_ms" if option.kind is Kind.SPAN else option.name
        assert re.search(rf"\{{{stem}:|\{{\{{{option.name}\}}\}}", query.sql), option.name
    assert not re.search(r"\{\{(?!events|sessions|conversations|person|where|source|theirs|by|[a-z]+\}\})", query.sql)


def test_what_a_query_lacks_is_seen() -> None:
    whole = queries()["pages"]
    assert unbounded(whole) == []
    for bound in (*BOUNDS, "timestamp < {to:"):
        assert len(unbounded(replace(whole, sql=whole.sql.replace(bound, "1")))) == 1
    for name, lacking in {"conversations": 1, "chat-funnel": 2}.items():
        asked = queries()[name]
        assert len(unbounded(replace(asked, sql=asked.sql.replace(OWNERS[0], "1")))) == lacking


def test_options_are_read_from_the_first_comment() -> None:
    query = parse(
        "name",
        "-- How many?\n--\n-- Counts\n-- things.\n--\n-- exactly one of --one --other\n-- --one STEP  the one\n"
        "-- --other STEP...!  the other\n-- --every day|week=week  how often\n-- --span SPAN=7d  how long\n"
        "SELECT 1 -- --not SPAN  an option\n",
    )
    assert (query.question, query.about, query.one_of) == ("How many?", "Counts things.", ("one", "other"))
    assert query.options == (
        Option("one", Kind.STEP, "the one"),
        Option("other", Kind.STEP, "the other", many=True, required=True),
        Option("every", Kind.CHOICE, "how often", ("day", "week"), default="week"),
        Option("span", Kind.SPAN, "how long", default="7d"),
    )
    assert query.sql == "SELECT 1 -- --not SPAN  an option"


def test_a_line_that_is_no_option_is_the_file_s_mistake() -> None:
    with pytest.raises(ValueError, match=r"name\.sql: not an option: --wrong"):
        parse("name", "-- How many?\n-- --wrong\nSELECT 1")
    for kind in ("NUMBER=3", "TEXT<=3"):
        with pytest.raises(ValueError, match=r"a NUMBER, and nothing else, says its greatest"):
            parse("name", f"-- How many?\n-- --depth {kind}  how deep\nSELECT 1")
