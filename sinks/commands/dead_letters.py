"""`dead-letters list` and `dead-letters show`."""

from time import time
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from schemas.command_line import plain
from sinks.commands.console import age, console, database
from sinks.commands.selection import AlsoReplayed, Project, Reason, Since, Stage, selection
from sinks.replay.query import Selection

EXIT_UNKNOWN = 1
_SHOWN_BYTES = 2_000
_LATEST = 10
app = typer.Typer(no_args_is_help=True, help="Events that could not go on: list them, look at one.")


@app.command("list")
def list_dead_letters(
    reason: Reason = None,
    stage: Stage = None,
    project: Project = None,
    since: Since = None,
    replayed: AlsoReplayed = False,
) -> None:
    """Numbers by stage, reason and project, and the latest few, of those that were not sent through again."""
    wanted = selection(reason, stage, project, since, replayed=replayed)
    with database() as (_, reader):
        summary = reader.dead_letters.summary(wanted)
        latest = reader.dead_letters.latest(wanted, _LATEST)
    table = Table("stage", "reason", "project", "events", "latest")
    for row_stage, row_reason, project_id, count, seen_ms in summary:
        table.add_row(row_stage, row_reason, project_id, str(count), f"{age(time(), seen_ms)} ago")
    console.print(table)
    for dead_letter_id, why, detail in latest:
        console.print(f"{dead_letter_id}  {why}: {plain(detail[:80])}")


@app.command("show")
def show(dead_letter_id: Annotated[str, typer.Argument(help="as `list` prints it")]) -> None:
    """One dead letter whole: why, where from, and its bytes."""
    with database() as (_, reader):
        found = next(reader.dead_letters.pages(Selection(dead_letter_id=dead_letter_id, replayed=True)), [])
    if not found:
        typer.echo(f"no dead letter has the id {dead_letter_id}", err=True)
        raise typer.Exit(EXIT_UNKNOWN)
    for name, value in found[0].items():
        text = repr(value[:_SHOWN_BYTES]) if name == "payload" else plain(str(value))
        console.print(Text(f"{name:18}", "bold"), text)
