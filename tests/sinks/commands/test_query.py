"""`query` as people type it: what it prints, where it writes, and how it ends."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from docker.local.clickhouse import ClickHouseServer
from schemas.apply.materialize import add, drop, start_filling, wanted
from schemas.apply.tables import clickhouse
from schemas.properties import PropertyType
from sinks.__main__ import app
from sinks.commands.console import EXIT_UNREACHABLE
from sinks.commands.query import EXIT_UNFIT, EXIT_UNWRITTEN
from sinks.errors import ReadFailedError
from sinks.query.catalog import queries
from tests.sinks.query.stories import START, Story, second, tables
from tests.waiting import wait_until

NOBODY = {"TALLY_CLICKHOUSE_TCP_PORT": "1", "TALLY_CLICKHOUSE_HTTP_PORT": "1"}
EXIT_OPTION = 2
DAY = str(START.date())
Ask: TypeAlias = Callable[..., Result]


def invoke(*words: str, env: Mapping[str, str] = NOBODY) -> Result:
    """The command's end; env: by default no server is there."""
    result = CliRunner().invoke(app, ["query", *words], env=env)
    assert "Traceback" not in result.output
    return result


def test_alone_it_lists_the_queries_with_a_line_each() -> None:
    lines = invoke().stdout.splitlines()
    for query in queries().values():
        assert [line for line in lines if line.startswith(f"{query.name} ") and query.question in line]


@pytest.mark.parametrize("name", queries())
def test_help_has_the_options_of_a_query(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    for option in queries()[name].options:
        assert f"--{option.name} " in result.stdout
    assert ("--from" in result.stdout) is (name != "live")
    assert "--where" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["retenton", "--project", "p"], "Did you mean 'retention'?"),
        (["pages"], "Missing option '--project'"),
        (["pages", "--project", "p", "--step", "A"], "No such option: --step"),
        (["pages", "--project", "p", "--format", "xml"], "'xml' is not one of"),
        (["pages", "--project", "p", "--from", "2026-11-02", "--to", "2026-11-01"], "ends before it begins"),
        (["pages", "--project", "p", "--tz", "Berlin"], "--tz: no zone 'Berlin'"),
        (["pages", "--project", "p", "--where", "contry=DE"], "did you mean country?"),
        (["pages", "--project", "p", "--output", "/no/such/folder/x.csv"], "--output: /no/such/folder is no folder"),
        (["pages", "--project", "p", "--output", "/"], "--output: / is a folder"),
        (["paths", "--project", "p"], "--after: paths needs --after or --before"),
        (["live", "--project", "p", "--minutes", "soon"], "--minutes: 'soon' is not a whole number"),
    ],
)
def test_wrong_options_are_told_before_a_server_is_asked(words: list[str], told: str) -> None:
    result = invoke(*words)
    assert result.exit_code == EXIT_OPTION
    assert told in result.stderr


def examples() -> list[str]:
    """The questions of the README, without `python -m sinks query`."""
    section = (Path(__file__).parents[3] / "README.md").read_text().partition("## Questions\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| .+\? \| `(.+)` \|$", section, re.MULTILINE)


@pytest.mark.parametrize("example", examples())
def test_the_readme_s_questions_can_be_asked(example: str) -> None:
    result = invoke(*shlex.split(example), "--project", "p")
    assert result.exit_code == EXIT_UNREACHABLE, result.stderr


def test_the_readme_has_a_question_for_each_query() -> None:
    assert {example.split()[0] for example in examples()} == set(queries())


def test_a_server_that_is_away_is_said() -> None:
    result = invoke("pages", "--project", "p")
    assert result.exit_code == EXIT_UNREACHABLE
    assert "cannot be read: ClickHouse at 127.0.0.1:1" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def story(clickhouse_server: ClickHouseServer) -> Iterator[Story]:
    with tables(clickhouse_server) as made:
        told = Story(*made)
        for number in range(3):
            told.event("ann", f"page:/{number}", second(number), properties={"plan": "pro", "price": number})
        told.write()
        yield told


@pytest.fixture
def ask(story: Story) -> Ask:
    """Asks about the story's day."""
    env = {
        "TALLY_CLICKHOUSE_TCP_PORT": str(story.settings.clickhouse_tcp_port),
        "TALLY_CLICKHOUSE_HTTP_PORT": str(story.settings.clickhouse_http_port),
        "TALLY_CLICKHOUSE_DATABASE": story.settings.clickhouse_database,
    }

    def asked(query: str, *words: str, project: str = story.name) -> Result:
        return invoke(query, "--project", project, "--from", DAY, "--to", DAY, *words, env=env)

    return asked


def test_a_table_is_cut_where_asked_and_says_so(ask: Ask) -> None:
    result = ask("pages", "--rows", "2")
    assert [page for page in ("/0", "/1", "/2") if f" {page} " in result.stdout] == ["/0", "/1"]
    assert "only the first 2 rows; --rows shows more, --format csv --output FILE has all" in result.stderr
    assert ask("pages", "--rows", "3").stderr == ""


def test_an_answer_without_rows_says_so(ask: Ask) -> None:
    result = ask("pages", "--where", "page=/nowhere")
    assert result.exit_code == 0
    assert "no rows" in result.stderr
    assert json.loads(ask("pages", "--where", "page=/nowhere", "--format", "json").stdout) == []


def test_a_project_is_named_by_id_or_by_name(ask: Ask, story: Story) -> None:
    by_name, by_id = ask("pages"), ask("pages", project=story.project.project_id)
    assert by_name.exit_code == by_id.exit_code == 0
    assert by_name.stdout == by_id.stdout


def test_a_project_that_is_not_there_is_told_with_those_that_are(ask: Ask, story: Story) -> None:
    result = ask("pages", project=story.name[:-1])
    assert result.exit_code == EXIT_OPTION
    assert f"did you mean '{story.name}'?" in result.stderr
    assert "python -m collector projects list" in result.stderr


def test_a_property_that_is_not_there_is_a_warning_with_those_that_are(ask: Ask) -> None:
    result = ask("trends", "--by", "property:plann", "--where", "property:price>=1")
    assert result.exit_code == 0
    assert "no property 'plann'" in result.stderr
    assert "there are plan, price" in result.stderr
    assert ask("trends", "--by", "property:plan").stderr == ""


def test_a_property_that_got_a_column_is_read_from_it_and_the_answer_is_the_same(ask: Ask, story: Story) -> None:
    words = ["--by", "property:plan", "--where", "property:price>=1", "--people", "visitors"]
    without, entry = ask("trends", *words), wanted("plan", PropertyType.STRING, None)
    with clickhouse(story.settings) as client:
        add(client, entry)
        try:
            assert "property_plan" not in ask("trends", *words, "--show-sql").stdout  # not in every part yet
            wait_until(lambda: not start_filling(client, entry).lacking, lambda: "the column is not filled")
            assert ask("trends", *words).stdout == without.stdout
            assert "property_plan" in ask("trends", *words, "--show-sql").stdout
        finally:
            drop(client, entry)
    assert " pro " in without.stdout


def test_each_form_can_be_a_file_whose_name_says_which(ask: Ask, tmp_path: Path) -> None:
    paths = {suffix: tmp_path / f"pages.{suffix}" for suffix in ("csv", "json", "parquet")}
    for path in paths.values():
        assert ask("pages", "--output", str(path)).exit_code == 0
    for frame in (pl.read_csv(paths["csv"]), pl.read_json(paths["json"]), pl.read_parquet(paths["parquet"])):
        assert frame["page"].to_list() == ["/0", "/1", "/2"]
    assert ask("pages", "--output", str(tmp_path / "pages.txt")).exit_code == 0
    assert " /2 " in (tmp_path / "pages.txt").read_text()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_file_that_exists_stays_unless_forced(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "pages.csv"
    path.write_text("mine")
    result = ask("pages", "--output", str(path))
    assert result.exit_code == EXIT_OPTION
    assert f"{path} exists; --force" in result.stderr
    assert path.read_text() == "mine"
    assert ask("pages", "--output", str(path), "--force").exit_code == 0
    assert "/2" in path.read_text()


def test_a_file_that_cannot_be_written_whole_is_not_there(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = ask("pages", "--output", str(tmp_path / "pages.csv"))
    assert result.exit_code == EXIT_UNWRITTEN
    assert "cannot be written" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_sql_can_be_pasted_somewhere_else(ask: Ask, story: Story) -> None:
    words = ["--where", "property:plan=pro", "--people", "users"]
    shown = ask("pages", *words, "--show-sql").stdout
    assert story.run(shown.rstrip().removesuffix(";")) == json.loads(ask("pages", *words, "--format", "json").stdout)


def test_a_view_that_was_dropped_is_to_be_applied(ask: Ask, story: Story, tmp_path: Path) -> None:
    with clickhouse(story.settings) as client:
        ((made,),) = client.execute(
            "SELECT create_table_query FROM system.tables WHERE name = 'events_resolved' "
            "AND database = currentDatabase()"
        )
        client.execute("DROP VIEW events_resolved SYNC")
        try:
            result = ask("pages", "--output", str(tmp_path / "pages.csv"))
            assert ask("pages", "--people", "visitors").exit_code == 0
        finally:
            client.execute(made)
    assert result.exit_code == EXIT_UNFIT
    assert "events_resolved" in result.stderr
    assert "python -m schemas apply" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_fails_on_the_way_is_no_answer(story: Story) -> None:
    """The server has sent nothing when it fails late: its first rows would look like an answer."""
    sql = "SELECT throwIf(number = 1000000, 'too late') FROM numbers(2000000)"
    with pytest.raises(ReadFailedError, match="too late"):
        story.run(sql)
