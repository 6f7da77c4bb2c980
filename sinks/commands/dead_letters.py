"""The commands for dead letters: `dead-letters list|show` and `replay`."""

import sys
from functools import partial
from time import monotonic, time
from typing import Annotated

import typer
from confluent_kafka import Producer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from schemas.codec import Codec
from schemas.column_codec import ColumnCodec
from schemas.kafka import producer_config
from schemas.registry import SchemaIds, open_ids
from schemas.settings import Settings
from schemas.topics import TOPICS
from sinks.batching.decode import version_reader
from sinks.batching.schema_texts import SchemaTexts
from sinks.clickhouse.http import Connection, clickhouse_server
from sinks.clickhouse.writer import ClickHouseWriter
from sinks.commands.inspect import console, database, moment_ms, plain
from sinks.replay.query import Filter, Letters, age, until
from sinks.replay.reinsert import Patience, Redelivery, Refusals, Way
from sinks.replay.replay import CollectorAdmin, Replayed, Replayer
from sinks.routes import ROUTES
from sinks.write.delivery import Delivery
from sinks.write.healing import Healing

EXIT_INCOMPLETE = 1
_SHOWN_BYTES = 2_000
_LATEST = 10
app = typer.Typer(no_args_is_help=True, help="Events that could not go on: list them, look at one.")

Reason = Annotated[str | None, typer.Option(help="only this reason")]
Stage = Annotated[str | None, typer.Option(help="only this stage: collector, streams, sinks")]
Project = Annotated[str | None, typer.Option(help="only this project id")]
AlsoReplayed = Annotated[bool, typer.Option("--replayed", help="also those that were sent through again already")]
Since = Annotated[str | None, typer.Option(help="only what was first seen since: 30m, 6h, 2d, or an ISO time")]


@app.command("list")
def list_letters(
    reason: Reason = None,
    stage: Stage = None,
    project: Project = None,
    since: Since = None,
    replayed: AlsoReplayed = False,
) -> None:
    """Numbers by stage, reason and project, and the latest few, of those that were not sent through again."""
    wanted = _filter(reason, stage, project, since, replayed=replayed)
    with database() as (_, client):
        letters = Letters(client)
        summary = letters.summary(wanted)
        latest = letters.latest(wanted, _LATEST)
    table = Table("stage", "reason", "project", "events", "latest")
    for row_stage, row_reason, project_id, count, seen_ms in summary:
        table.add_row(row_stage, row_reason, project_id, str(count), f"{age(time(), seen_ms)} ago")
    console.print(table)
    for dead_letter_id, why, detail in latest:
        console.print(f"{dead_letter_id}  {why}: {plain(detail[:80])}")


@app.command("show")
def show_letter(dead_letter_id: Annotated[str, typer.Argument(help="as `list` prints it")]) -> None:
    """One dead letter whole: why, where from, and its bytes."""
    with database() as (_, client):
        found = next(Letters(client).pages(Filter(dead_letter_id=dead_letter_id, replayed=True)), [])
    if not found:
        typer.echo(f"no dead letter has the id {dead_letter_id}", err=True)
        raise typer.Exit(EXIT_INCOMPLETE)
    for name, value in found[0].items():
        text = repr(value[:_SHOWN_BYTES]) if name == "payload" else plain(str(value))
        console.print(Text(f"{name:18}", "bold"), text)


def replay(
    reason: Reason = None,
    stage: Stage = None,
    project: Project = None,
    since: Since = None,
    dead_letter_id: Annotated[str | None, typer.Option("--id", help="only this dead letter")] = None,
    replayed: AlsoReplayed = False,
    dry_run: Annotated[bool, typer.Option(help="say what would be sent, send nothing")] = False,
    rate: Annotated[float, typer.Option(help="events a second; 0: as fast as it goes")] = 500.0,
) -> None:
    """Send dead letters through again, once their cause is mended. Repeating it changes nothing.

    What has been stored meanwhile, however long ago, is recognised by its id and not sent; what was sent before is left
    out unless it is named or asked for; what fails again is the same dead letter. Exits 1 when some could not be sent.
    """
    wanted = _filter(reason, stage, project, since, dead_letter_id, replayed or dead_letter_id is not None)
    with database() as (settings, client):
        letters = Letters(client)
        summary = letters.summary(wanted)
        total = sum(row[3] for row in summary)
        for row_stage, row_reason, project_id, count, _ in summary:
            console.print(f"{count:8} {row_stage:10} {row_reason} (project {project_id})")
        if dry_run or not total:
            console.print("nothing sent" if dry_run else "no dead letters fit")
            return
        result = _send(settings, letters, until(wanted, int(time() * 1000)), total, rate)
    there = f", {result.stored} stored already" if result.stored else ""
    console.print(f"{result.sent} sent, {result.failed} not{there}")
    for problem in result.problems[:10]:
        console.print(plain(problem), style="red")
    if result.failed:
        raise typer.Exit(EXIT_INCOMPLETE)


def _send(settings: Settings, letters: Letters, wanted: Filter, total: int, rate: float) -> Replayed:
    """Send them all, a page in memory at a time; what became of them."""
    ids = open_ids(settings.schema_registry_url, settings.topic_prefix)
    admin = f"http://{settings.admin_host}:{settings.collector_admin_port}"
    replayer = Replayer(
        letters,
        CollectorAdmin(settings.sinks_collector_admin_url or admin),
        Producer(producer_config(settings)),
        Codec("raw_events", ids),
        [settings.topic(name) for name, topic in TOPICS.items() if "streams" in topic.consumers],
        Redelivery(partial(_way, settings, ids), monotonic),
        rate,
    )
    result = Replayed()
    with Progress(console=console, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("replaying", total=total)
        for page in letters.pages(wanted):
            result.add(replayer.replay(page))
            progress.advance(task, len(page))
    return result


def _way(settings: Settings, ids: SchemaIds, topic_name: str) -> Way | None:
    """The way into a table, as `python -m sinks run` has it, but for where refused rows go."""
    route = ROUTES.get(topic_name.removeprefix(settings.topic_prefix))
    if route is None:
        return None
    schemas = SchemaTexts(route.topic, ids)
    refusals, patience = Refusals(), Patience()
    quorum = settings.clickhouse_insert_quorum
    writer = ClickHouseWriter(Connection(clickhouse_server(settings)), route, schemas, insert_quorum=quorum)
    pause_s_max = settings.sinks_retry_ms_max / 1000
    delivery = Delivery(
        route,
        writer,
        refusals,
        Healing(writer, patience, settings.sinks_heal_bytes_max, pause_s_max, monotonic),
        version_reader(ColumnCodec(route.topic, ids), route.version),
        pause_s_max,
        settings.sinks_session_ms_max / 1000,
        monotonic,
        patience,
    )
    return Way(route, schemas.verdict, delivery, refusals, patience)


def _filter(
    reason: str | None,
    stage: str | None,
    project: str | None,
    since: str | None,
    dead_letter_id: str | None = None,
    replayed: bool = False,
) -> Filter:
    since_ms = None if since is None else moment_ms(since)
    return Filter(reason, stage, project, since_ms, dead_letter_id, replayed=replayed)
