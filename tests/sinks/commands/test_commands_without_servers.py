"""What commands say when a server is away: which, and nothing of its password."""

import pytest
from typer.testing import CliRunner

from sinks.__main__ import app
from sinks.commands.console import EXIT_UNREACHABLE

NOBODY = {"TALLY_CLICKHOUSE_TCP_PORT": "1", "TALLY_CLICKHOUSE_HTTP_PORT": "1", "TALLY_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
REGISTRY = {"TALLY_SCHEMA_REGISTRY_URL": "http://user:secret-word@127.0.0.1:1/registry"}


@pytest.mark.parametrize("command", [["ledger"], ["trace", "m1"]])
def test_a_registry_that_is_away_is_named_without_its_password(command: list[str]) -> None:
    result = CliRunner().invoke(app, command, env=NOBODY | REGISTRY)
    assert result.exit_code == EXIT_UNREACHABLE, result.output
    assert "the schema registry at http://127.0.0.1:1/registry cannot be reached" in result.stderr
    assert "secret-word" not in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", [["dead-letters", "list"], ["dead-letters", "show", "x"], ["replay", "--dry-run"]])
def test_a_database_that_is_away_is_said_and_no_topic_is_needed(command: list[str]) -> None:
    result = CliRunner().invoke(app, command, env=NOBODY | REGISTRY)
    assert result.exit_code == EXIT_UNREACHABLE, result.output
    assert "cannot be read" in result.stderr
    assert "registry" not in result.stderr
