"""`python -m schemas materialize` on a real server: right answers before, while and after the column is filled."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from clickhouse_driver import Client
from typer.testing import CliRunner

from schemas.__main__ import app
from schemas.apply.findings import Verdict
from schemas.apply.materialize import read_progress, wanted
from schemas.apply.property_views import VIEWS, leave_out
from schemas.apply.tables import apply_tables, check_tables, clickhouse
from schemas.properties import PropertyType, catalogue, materialized_properties, property_expression
from schemas.settings import Settings, to_environ

P1 = "00000000-0000-4000-8000-0000000000a1"
ODD = 'it\'s "ü" \\ 100%\n.x'
# As sent, and what each type makes of it: String, Float64, Int64, Bool, DateTime is not NULL.
VALUES: dict[str, tuple[Any, ...]] = {
    "12": ("12", 12.0, 12, None),
    "12.0": ("12", 12.0, 12, None),
    "12.5": ("12.5", 12.5, None, None),
    '"12"': ("12", 12.0, 12, None),
    '"-1.5e3"': ("-1.5e3", -1500.0, -1500, None),
    "9007199254740993": ("9007199254740993", 9007199254740992.0, 9007199254740993, None),
    "18446744073709551615": ("18446744073709551615", 18446744073709551615.0, None, None),
    "true": ("true", None, None, True),
    '"false"': ("false", None, None, False),
    '"NaN"': ("NaN", None, None, None),
    '"inf"': ("inf", None, None, None),
    '"shoes é \\n"': ("shoes é \n", None, None, None),
    '""': ("", None, None, None),
    "null": (None, None, None, None),
    "[1,2]": ("[1,2]", None, None, None),
    '{"b":1}': ('{"b":1}', None, None, None),
}
DOCUMENTS = [
    *(f'{{"other":1,"value":{value}}}' for value in VALUES),
    '{"other":1}', "", "no JSON", "[1]", '{"value":1e999}', '{"value":', "\x00",
]  # fmt: skip
EXPECTED = [*VALUES.values(), *[(None,) * 4] * 7]


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    apply_tables(settings)
    for name, value in to_environ(settings).items():
        monkeypatch.setenv(name, value)
    with clickhouse(settings) as client:
        yield client


def materialize(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["materialize", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def insert(client: Client, documents: list[str], start: int = 0, project: str = P1) -> None:
    client.execute(
        "INSERT INTO events (tenant_id, project_id, timestamp, source_offset, properties) VALUES",
        [("t", project, datetime.now(UTC), start + number, text) for number, text in enumerate(documents)],
    )


def unsettled(settings: Settings) -> list[str]:
    return [finding.subject for finding in check_tables(settings) if not finding.settled]


def values(client: Client, expression: str) -> list[Any]:
    return [value for (value,) in client.execute(f"SELECT {expression} FROM events ORDER BY source_offset")]


def test_each_value_is_the_same_from_the_json_and_the_column_whenever_its_row_came(client: Client) -> None:
    half = len(DOCUMENTS) // 2
    insert(client, DOCUMENTS[:half])
    kinds = [PropertyType.STRING, PropertyType.FLOAT64, PropertyType.INT64, PropertyType.BOOL]
    for index, kind in enumerate(kinds):
        output = materialize("--property", "value", "--type", kind)
        assert "filled: all 1 parts" in output
        columns = materialized_properties(client)
        insert(client, DOCUMENTS[half:], half)  # documents that are no JSON among them: none is refused
        for expression in (property_expression("value", kind, columns), property_expression("value", kind)):
            assert values(client, expression) == [row[index] for row in EXPECTED], (kind, expression)
        assert property_expression("value", kind, columns) == "property_value"
        client.execute(f"ALTER TABLE events DELETE WHERE source_offset >= {half} SETTINGS mutations_sync = 2")
        assert "dropped column property_value" in materialize("--property", "value", "--drop", "--yes")
    assert catalogue(client) == []


def test_a_key_with_any_sign_and_a_member_of_a_member_have_columns(client: Client) -> None:
    insert(client, [json.dumps({ODD: 1, "cart": {"total": 2}, "cart.total": 3, "when": "2026-11-01T10:00:00+02:00"})])
    odd = ODD.replace("\\", "\\\\").replace(".", "\\.")
    for name, kind, expected in (
        (odd, "Int64", 1), ("cart.total", "Int64", 2), (r"cart\.total", "Int64", 3), ("when", "DateTime", None),
    ):  # fmt: skip
        assert "looked at" not in materialize("--property", name, "--type", kind)
        column = materialized_properties(client)[name]
        (value,) = values(client, column.column)
        assert value == expected if expected else value.isoformat() == "2026-11-01T08:00:00+00:00"
    listed = materialize("--list")
    assert all(text in listed for text in ("cart.total  Int64", "cart\\.total  Int64", "1 of 1 parts filled"))


def test_it_is_idempotent_and_goes_on_where_it_was_interrupted(client: Client, settings: Settings) -> None:
    insert(client, ['{"price":1.5}'])
    plan = materialize("--property", "price", "--type", "Float64", "--plan")
    assert "ADD COLUMN property_price" in plan
    assert catalogue(client) == []
    client.execute("SYSTEM STOP MERGES events")  # what fills parts is such a task
    assert "in the background: 1 of 1" in materialize("--property", "price", "--type", "Float64", "--no-wait")
    assert "in the background: 1 of 1" in materialize("--property", "price", "--type", "Float64", "--no-wait")
    entry = wanted("price", PropertyType.FLOAT64, None)
    assert read_progress(client, entry).is_running
    assert values(client, "property_price") == [1.5]  # computed, as long as it is not filled
    assert materialized_properties(client) == {}  # but not asked: see schemas.properties
    started = "SELECT count() FROM system.mutations WHERE database = currentDatabase()"
    assert client.execute(started) == [(1,)]  # the second call began no second one
    client.execute("SYSTEM START MERGES events")
    assert "filled" in materialize("--property", "price", "--type", "Float64")
    assert not read_progress(client, entry).lacking
    (events,) = [finding for finding in check_tables(settings) if finding.subject == "table events"]
    assert (events.verdict, events.detail) == (Verdict.NOTE, "column property_price is the property price")
    assert apply_tables(settings)
    assert materialized_properties(client) == {"price": entry}


def test_a_projects_own_column_is_empty_for_the_others(client: Client) -> None:
    insert(client, ['{"price":1}'])
    insert(client, ['{"price":2}'], 1, "another")
    assert "no such project" in materialize("--property", "price", "--project", P1, code=1)
    client.execute("INSERT INTO projects (project_id, name) VALUES", [(P1, "shop")])
    assert f"{P1} (shop)" in materialize("--property", "price", "--project", "shop", code=1)
    materialize("--property", "price", "--type", "Int64", "--project", P1)
    assert materialized_properties(client) == {}
    assert values(client, materialized_properties(client, P1)["price"].column) == [1, None]
    assert "another" not in materialize("--list")


def test_the_views_on_events_have_the_column_until_just_before_it_is_dropped(
    client: Client, settings: Settings
) -> None:
    insert(client, ['{"price":1.5}'])
    assert "would write the views events_resolved, events_sessions" in materialize("--property", "price", "--plan")
    assert "wrote view events_resolved" in materialize("--property", "price", "--type", "Float64")
    assert "wrote" not in materialize("--property", "price", "--type", "Float64")
    for view in (*VIEWS, "person_events(tenant = 't', user = 'ann')"):
        rows = client.execute(f"SELECT property_price FROM {view}")
        assert rows == ([] if "ann" in view else [(1.5,)])
    for name in ("price", "plan"):
        materialize("--property", name, "--type", "Float64")
    assert unsettled(settings) == []

    leave_out(client, "property_price")  # and killed
    assert all(client.execute(f"SELECT count() FROM (SELECT * FROM {view})") == [(1,)] for view in VIEWS)
    assert unsettled(settings) == [f"view {view}" for view in VIEWS]
    assert "dropped column property_price" in materialize("--property", "price", "--drop", "--yes")
    assert unsettled(settings) == []
    assert client.execute("SELECT property_plan FROM events_resolved") == [(None,)]
    client.execute("ALTER TABLE events DROP COLUMN property_plan")  # and killed
    assert "wrote view" in materialize("--property", "plan", "--drop", "--yes", code=1)
    assert unsettled(settings) == []


def test_an_operators_own_view_is_neither_written_anew_nor_broken(client: Client) -> None:
    insert(client, ['{"price":1.5}'])
    client.execute("CREATE OR REPLACE VIEW events_resolved AS SELECT *, user_id AS resolved_user_id FROM events")
    own = client.execute(
        "SELECT as_select FROM system.tables WHERE name = 'events_resolved' AND database = currentDatabase()"
    )
    assert "events_resolved is not the contract's" in materialize("--property", "price", "--type", "Float64")
    assert set(materialized_properties(client, source="events_sessions")) == {"price"}
    assert materialized_properties(client, source="events_resolved") == {}
    assert "price" in materialized_properties(client, source="person_events")
    client.execute("CREATE VIEW wide AS SELECT * FROM events SETTINGS asterisk_include_materialized_columns = 1")
    assert "wide would fail" in materialize("--property", "price", "--drop", "--yes", code=1)
    client.execute("DROP VIEW wide")
    materialize("--property", "price", "--drop", "--yes")
    assert own == client.execute(
        "SELECT as_select FROM system.tables WHERE name = 'events_resolved' AND database = currentDatabase()"
    )


def test_what_cannot_be_is_said_and_changes_nothing(client: Client) -> None:
    assert "there are no events" in materialize("--property", "price", "--plan")
    insert(client, ['{"price":1,"cart":{"total":2}}'])
    warning = materialize("--property", "prize", "--plan")
    assert all(name in warning for name in ("'prize'", "price", "cart.total"))
    assert "there are String" in materialize("--property", "price", "--type", "Decimal", code=1)
    assert "empty key" in materialize("--property", "a..b", code=1)
    assert "--property" in materialize(code=1)
    assert "nothing to drop" in materialize("--property", "price", "--drop", "--yes", code=1)
    client.execute("ALTER TABLE events ADD COLUMN property_price String")
    assert "somebody else" in materialize("--property", "price", code=1)
    assert "nothing to drop" in materialize("--property", "price", "--drop", "--yes", code=1)  # it is not ours
    client.execute("ALTER TABLE events DROP COLUMN property_price")
    materialize("--property", "price", "--type", "Float64")
    assert "--type Float64" in materialize("--property", "price", "--type", "String", code=1)
    assert "would drop" in materialize("--property", "price", "--drop")
    client.execute("CREATE VIEW prices AS SELECT property_price FROM events")
    assert "prices would fail" in materialize("--property", "price", "--drop", "--yes", code=1)
    assert len(catalogue(client)) == 1


def test_a_view_of_another_database_that_reads_the_column_is_named(client: Client, settings: Settings) -> None:
    materialize("--property", "price", "--type", "Float64")
    database, other = settings.clickhouse_database, f"{settings.clickhouse_database}_reports"
    client.execute(f"CREATE DATABASE {other}")
    try:
        client.execute(f"CREATE VIEW {other}.another AS SELECT 1 AS property_price")  # reads nothing of ours
        client.execute(f"CREATE VIEW {other}.prices AS SELECT property_price AS price FROM {database}.events")
        assert f"{other}.prices would fail" in materialize("--property", "price", "--drop", "--yes", code=1)
        client.execute(f"DROP VIEW {other}.prices")
        assert "dropped column" in materialize("--property", "price", "--drop", "--yes")
    finally:
        client.execute(f"DROP DATABASE {other} SYNC")


def test_names_of_clients_cannot_act_on_a_terminal(client: Client) -> None:
    name = "red\x1b[31m\n\x00"
    insert(client, [json.dumps({name: 1})])
    for output in (
        materialize("--property", "other", "--plan"),
        materialize("--property", name),
        materialize("--list"),
        materialize("--property", name, "--type", "Bool", code=1),
        materialize("--property", name, "--drop"),
    ):
        assert all(line.isprintable() for line in output.splitlines())
    assert "red\\x1b[31m\\n\\x00" in materialize("--list")
