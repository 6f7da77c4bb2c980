"""Each query pattern of `events` is answered from its index, also by who asks with ClickHouse's own settings."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pytest

from docker.local.clickhouse import ClickHouseServer
from schemas.apply.tables import TABLES, VIEWS, statement
from tests.bench.question_rows import TENANT, History
from tests.bench.questions import GRANULE, SERVER_DEFAULTS, Question, Server, lookups, ranges

ROWS: Final = 200_000
UNMERGED: Final = 4_000
DATABASE: Final = "query_patterns"


@pytest.fixture(scope="module")
def server(clickhouse_server: ClickHouseServer) -> Iterator[Server]:
    """A table that is merged but for its newest rows, in one month so that all older ones are one part."""
    clickhouse_server.query(f"CREATE DATABASE {DATABASE}")
    filled = Server(clickhouse_server.http_url, DATABASE)
    filled.ask(statement("events").replace("PARTITION BY toYYYYMM(timestamp)", ""))
    for name in (*(table for table in TABLES if table != "events"), *VIEWS):
        filled.ask(statement(name))
    history = History(ROWS, int(datetime.now(UTC).timestamp() * 1000), visitors=16_000)
    for half in (0, 1):  # a merge of one part alone would make no projections
        filled.ask(history.insert(half * ROWS // 2, ROWS // 2 - half * UNMERGED))
    filled.ask("OPTIMIZE TABLE events FINAL")
    filled.ask("SYSTEM STOP MERGES events")
    filled.ask(history.insert(ROWS - UNMERGED, UNMERGED))
    yield filled
    clickhouse_server.query(f"DROP DATABASE {DATABASE} SYNC")


def too_much(server: Server, question: Question) -> str:
    """What a look-up read beyond the granules that hold the answer; '' when nothing is to be said.

    Two more are for values that an index takes for others', one for the newest rows.
    """
    read = server.ask(question.query)[1].rows_read
    allowed = (int(server.text(question.needed)) + 3) * GRANULE * question.passes
    return f"{question.name}: {read:,} rows, {allowed:,} would do" if read > allowed else ""


def test_a_look_up_reads_the_granules_that_hold_the_answer(server: Server) -> None:
    asked = list(lookups(server))
    assert len(asked) > 25
    assert [told for question in asked if (told := too_much(server, question))] == []


def test_so_it_does_with_the_settings_that_clickhouse_has_by_itself(server: Server) -> None:
    for question in lookups(server):
        shipped, by_default = (server.ask(question.query, settings)[1].rows_read for settings in ({}, SERVER_DEFAULTS))
        if question.by_default:
            assert by_default <= shipped + GRANULE, question.name
        else:  # the reason for docker/clickhouse/users.d/tally.xml: the file may go when this is no longer so
            assert by_default > shipped, question.name


@pytest.mark.parametrize("view", ["events_resolved", "events_sessions"])
def test_a_view_loses_no_index(server: Server, view: str) -> None:
    for question in lookups(server):
        through = Question(question.name, question.query.replace("FROM events ", f"FROM {view} "), question.needed)
        assert too_much(server, through) == "", view


def test_a_funnel_reads_only_its_events_and_a_time_range_only_its_time(server: Server) -> None:
    for question in ranges(server):
        read = server.ask(question.query)[1].rows_read
        assert read < ROWS * 0.4, (question.name, read)


def test_the_plan_names_the_index(server: Server) -> None:
    plans = {q.name: server.text(f"EXPLAIN indexes = 1, projections = 1 {q.query}") for q in lookups(server)}
    for name, plan in plans.items():
        assert "_bloom" in plan, name
        assert "by_event_name" not in plan.partition("Skip")[0], name
    funnel, *_ = (question for question in ranges(server) if question.name.startswith("funnel"))
    assert "by_event_name" in server.text(f"EXPLAIN indexes = 1, projections = 1 {funnel.query}")


def test_where_there_is_no_index_all_of_the_tenant_is_read(server: Server) -> None:
    """The measure can fail."""
    query = f"SELECT event_name FROM events WHERE tenant_id = '{TENANT}' AND client_message_id = 'nowhere'"
    assert server.ask(query)[1].rows_read > 0.85 * ROWS


def test_without_the_indexes_every_look_up_is_told_of(server: Server) -> None:
    """The control: they are what keeps these questions small."""
    server.ask("CREATE TABLE bare AS events")
    for column in ("user_id", "anonymous_id", "session_id", "message_id"):
        server.ask(f"ALTER TABLE bare DROP INDEX {column}_bloom")
    server.ask("INSERT INTO bare SELECT * FROM events")
    for question in lookups(server):
        bare = Question(question.name, question.query.replace("FROM events", "FROM bare"), question.needed)
        assert too_much(server, bare), question.name
