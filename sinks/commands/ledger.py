"""`ledger`: in = out, or what is lost. Reads Kafka and the tables, and changes nothing."""

import json
import time
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from schemas.command_line import plain
from sinks.commands.console import console, moment_ms, sources
from sinks.ledger.audit import Auditor, Ledger
from sinks.ledger.outcomes import ACCOUNTED, LedgerOutcome

EXIT_UNSOUND = 1
_SHOWN = (LedgerOutcome.ACCEPTED, *ACCOUNTED)


def ledger(
    project: Annotated[str | None, typer.Option(help="only this project id")] = None,
    since: Annotated[str | None, typer.Option(help="only what came since: 30m, 6h, 2d, or an ISO time")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Account for every accepted event that raw_events still holds. Exits 1 when one is lost or stands twice."""
    with sources() as (_, reader, topics):
        since_ms = None if since is None else moment_ms(since)
        tell = (lambda line: None) if as_json else (lambda line: console.print(line, style="dim"))
        found = Auditor(topics, reader.ledger, time.sleep).audit(since_ms, tell)
        names = reader.ledger.project_names()
    shown = {name: counts for name, counts in found.projects.items() if project in (None, name)}
    if as_json:
        typer.echo(json.dumps(as_dict(found, shown)))
    else:
        _print(found, shown, names)
    if not found.total.sound:
        raise typer.Exit(EXIT_UNSOUND)


def as_dict(found: Ledger, projects: dict[str, Any]) -> dict[str, Any]:
    """The ledger as JSON knows it."""
    total = found.total
    return {
        **{outcome: total.events()[outcome] for outcome in _SHOWN},
        "difference": total.difference,
        "lost": {str(number): account.lost for number, account in found.partitions.items() if account.lost},
        "doubled": {str(number): account.doubled for number, account in found.partitions.items() if account.doubled},
        "sound": total.sound,
        "projects": {name: dict(counts) for name, counts in projects.items()},
    }


def _print(found: Ledger, projects: dict[str, Any], names: dict[str, str]) -> None:
    table = Table(Column("project", no_wrap=True))
    for outcome in _SHOWN:
        table.add_column(outcome.replace("_", " "), justify="right", no_wrap=True)
    for name, counts in sorted(projects.items()):
        table.add_row(plain(names.get(name) or name), *(str(counts[outcome]) for outcome in _SHOWN))
    total = found.total
    table.add_section()
    table.add_row("all", *(str(total.events()[outcome]) for outcome in _SHOWN))
    console.print(table)
    if total.sound:
        console.print(
            Text("sound", "green"),
            ": accepted - stored - duplicate - dead - in flight = 0, nothing stands twice",
            sep="",
        )
    for number, account in found.partitions.items():
        for what in ("lost", "doubled"):
            if offsets := getattr(account, what):
                some = ", ".join(map(str, offsets[:10]))
                console.print(Text(what, "red"), f": partition {number}, {len(offsets)} offsets: {some} …", sep="")
