"""The commands that look: `ledger` and `trace`. They read Kafka and the tables, and change nothing."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

import typer
from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from schemas.registry import RegistryUnavailableError, open_ids
from schemas.settings import Settings, SettingsError, load
from sinks.clickhouse.ledger_tables import Tables
from sinks.ledger import trace as tracing
from sinks.ledger.audit import Auditor, Ledger
from sinks.ledger.kafka import LedgerError, Topics

EXIT_UNSOUND = 1
EXIT_SETTINGS = 2
EXIT_UNREACHABLE = 4
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
PIPE_COLUMNS = 10_000
_SHOWN_MAX = 100
_OUTCOMES = ("accepted", "stored", "duplicate", "dead", "in_flight")
# A pipe has no width: a table for a program or a log is never cut. What clients sent is shown as it is: no
# text of theirs is markup or an emoji's name.
console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, markup=False, emoji=False, highlight=False)


def open_client(settings: Settings, /, **options: Any) -> Client:
    """The database, to ask questions; `options` are the driver's own."""
    return Client(
        settings.clickhouse_host,
        port=settings.clickhouse_tcp_port,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database=settings.clickhouse_database,
        connect_timeout=5,
        **options,
    )


@contextmanager
def database() -> Iterator[tuple[Settings, Client]]:
    """Settings and tables; what cannot be reached ends the command with its name."""
    try:
        settings = load()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
    client = open_client(settings)
    try:
        yield settings, client
    except RegistryUnavailableError as error:
        typer.echo(f"{error}; try again when it is back", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    except (LedgerError, KafkaException, ClickHouseError, EOFError, OSError) as error:
        typer.echo(f"cannot be read: {error}", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    finally:
        client.disconnect()


@contextmanager
def sources() -> Iterator[tuple[Settings, Client, Topics]]:
    """The same, and topics."""
    with database() as (settings, client):
        topics = Topics(settings, open_ids(settings.schema_registry_url, settings.topic_prefix))
        try:
            yield settings, client, topics
        finally:
            topics.close()


def ledger(
    project: Annotated[str | None, typer.Option(help="only this project id")] = None,
    since: Annotated[str | None, typer.Option(help="only what came since: 30m, 6h, 2d, or an ISO time")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Account for every accepted event that raw_events still holds. Exits 1 when one is lost or stands twice."""
    with sources() as (settings, client, topics):
        since_ms = None if since is None else moment_ms(since)
        tell = (lambda line: None) if as_json else (lambda line: console.print(line, style="dim"))
        found = Auditor(topics, Tables(client, settings), time.sleep).audit(since_ms, tell)
        names = dict(client.execute("SELECT toString(project_id), any(name) FROM projects FINAL GROUP BY 1"))
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
        **{outcome: getattr(total, outcome) for outcome in _OUTCOMES},
        "difference": total.difference,
        "lost": {str(number): account.lost for number, account in found.partitions.items() if account.lost},
        "doubled": {str(number): account.doubled for number, account in found.partitions.items() if account.doubled},
        "sound": total.sound,
        "projects": {name: dict(counts) for name, counts in projects.items()},
    }


def _print(found: Ledger, projects: dict[str, Any], names: dict[str, str]) -> None:
    table = Table(Column("project", no_wrap=True))
    for outcome in _OUTCOMES:
        table.add_column(outcome.replace("_", " "), justify="right", no_wrap=True)
    for name, counts in sorted(projects.items()):
        table.add_row(plain(names.get(name) or name), *(str(counts[outcome]) for outcome in _OUTCOMES))
    total = found.total
    table.add_section()
    table.add_row("all", *(str(getattr(total, outcome)) for outcome in _OUTCOMES))
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


def trace(
    message_id: Annotated[str, typer.Argument(help="the event's messageId, as the client sent it")],
    since: Annotated[
        str | None,
        typer.Option(help="look only at what was accepted since: 30m, 6h, 2d, or an ISO time; found by time, not read"),
    ] = None,
) -> None:
    """Say where an event is: stored, duplicate, dead letter or in flight, and why. Exits 1 when it is nowhere, or lost.

    Reads all that raw_events holds, or holds since a time: a copy may stand anywhere.
    """
    with sources() as (settings, client, topics):
        since_ms = None if since is None else moment_ms(since)
        tell = partial(console.print, style="dim")
        sightings = tracing.Tracer(settings, client, topics, time.sleep, tell).find(message_id, since_ms)
    show(sightings)
    if not sightings:
        console.print(
            "nowhere: not in events, dead_letters or raw_events. Was it answered 200, by this project's write key, and "
            f"less than {settings.topic_events_days} days ago?"
        )
    if not sightings or any(sighting.where == "lost" for sighting in sightings):
        raise typer.Exit(EXIT_UNSOUND)


def show(sightings: Sequence[tracing.Sighting]) -> None:
    """Print where an event was found."""
    for sighting in sightings[:_SHOWN_MAX]:
        told = f" (project {sighting.project_id}): {plain(sighting.particulars)}"
        console.print(Text(sighting.where, "bold"), told, sep="")
    if len(sightings) > _SHOWN_MAX:
        console.print(f"… and {len(sightings) - _SHOWN_MAX} more")


def plain(text: str) -> str:
    """A text that a client wrote, for a terminal: control characters, which would act on it, are shown as escapes."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def moment_ms(text: str) -> int:
    """Milliseconds since 1970 of `30m`, `6h`, `2d` ago or an ISO time. Raises typer.BadParameter."""
    try:
        if text[-1:] in _UNITS and text[:-1].isdigit():
            then = datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        else:
            then = datetime.fromisoformat(text)
            then = then if then.tzinfo else then.replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither like 30m, 6h, 2d nor an ISO time") from None
    return int(then.timestamp() * 1000)
