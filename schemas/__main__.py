"""`python -m schemas`: create, check and show what the processes agree on."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from schemas import evolution, registry
from schemas.apply.findings import ApplyError, Finding, as_table
from schemas.apply.tables import apply_tables, check_tables, plan_tables
from schemas.apply.topics import apply_topics, check_topics, partitions, plan_topics
from schemas.command_line import Commands
from schemas.commands.materialize import materialize
from schemas.exits import settings_or_exit
from schemas.settings import PREFIX, Settings
from schemas.topics import TOPICS

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
_PIPED_WIDTH = 240  # a pipe has no edge to wrap at


def _print(table: Table) -> None:
    terminal = sys.stdout.isatty()
    Console(width=None if terminal else _PIPED_WIDTH).print(table)


def _report(steps: Sequence[Callable[[Settings], list[Finding]]]) -> None:
    """Run the steps, print their findings, exit 1 unless everything is settled."""
    settings = settings_or_exit()
    findings: list[Finding] = []
    failure = ""
    for step in steps:
        try:
            findings += step(settings)
        except ApplyError as error:
            failure = str(error)
            break
    if findings:
        _print(as_table(findings))
    if failure:
        typer.echo(failure, err=True)
    if failure or not all(finding.settled for finding in findings):
        raise typer.Exit(1)


@app.command()
def apply(
    topics: Annotated[bool, typer.Option(help="create and configure topics")] = True,
    tables: Annotated[bool, typer.Option(help="create tables, migrate them and add columns")] = True,
    plan: Annotated[bool, typer.Option("--plan", help="say what would be done, do nothing")] = False,
) -> None:
    """Create what is missing, migrate, add what lacks; safe to repeat and to interrupt.

    What an operator added or made larger (columns, views, longer retention, more partitions) is told and left alone.
    Exits 1 when something differs that must not be changed silently.
    """
    steps = (plan_topics, plan_tables) if plan else (apply_topics, apply_tables)
    _report([step for step, wanted in zip(steps, (topics, tables), strict=True) if wanted])


@app.command()
def check() -> None:
    """Compare topics and tables with the contract, changing nothing. Exits 1 when something differs."""
    _report([check_topics, check_tables])


app.command()(materialize)

show = typer.Typer(no_args_is_help=True, help="Show the contract.")
app.add_typer(show, name="show")


@show.command("topics")
def show_topics() -> None:
    """Name, key, partitions, retention, producers and consumers of every topic."""
    table = Table("topic", "key", "partitions", "cleanup", "kept", "producers", "consumers", box=None)
    settings = settings_or_exit()
    for topic in TOPICS.values():
        days = topic.days(settings)
        kept = "for ever" if days is None else f"{days} days"
        count = str(partitions(topic, settings))
        table.add_row(
            topic.name, topic.key, count, topic.cleanup, kept, ", ".join(topic.producers), ", ".join(topic.consumers)
        )
    _print(table)


@show.command("settings")
def show_settings() -> None:
    """Every environment variable, its default and its meaning."""
    table = Table("variable", "default", "meaning", box=None)
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        table.add_row(f"{PREFIX}{name.upper()}", default, field.description or "")
    _print(table)


@show.command("ids")
def show_ids() -> None:
    """The committed schema ids."""
    table = Table("id", "topic", "version", "fields", box=None)
    for version in registry.versions():
        table.add_row(str(version.schema_id), version.topic, str(version.version), str(len(version.schema["fields"])))
    _print(table)


@app.command()
def ids(write: Annotated[bool, typer.Option(help="append the new versions to avro/ids.json")] = False) -> None:
    """Say which schemas changed since the id list was committed; with --write, append them. Exits 1 when some did."""
    try:
        entries = evolution.next_ids()
    except evolution.IncompatibleSchemaError as error:
        typer.echo(f"older records could not be read any more: {error}", err=True)
        raise typer.Exit(1) from None
    new = entries[len(registry.versions()) :]
    for entry in new:
        typer.echo(f"id {entry['id']}: {entry['topic']} version {entry['version']}")
    if not new:
        typer.echo("every schema is in the id list")
    elif write:
        lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        registry.ids_path().write_text(f"[\n{lines}\n]\n", "utf-8")
    else:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
