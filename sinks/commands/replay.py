"""`replay`: dead letters sent through again, once their cause is mended."""

import sys
from functools import partial
from time import monotonic, time
from typing import Annotated

import typer
from confluent_kafka import Producer
from rich.progress import Progress

from schemas.codec import Codec
from schemas.column_codec import ColumnCodec
from schemas.command_line import plain
from schemas.kafka import producer_config
from schemas.registry import SchemaIds, open_ids
from schemas.settings import Settings
from schemas.topics import TOPICS
from sinks.batching.schema_texts import SchemaTexts
from sinks.commands.console import console, database
from sinks.commands.selection import AlsoReplayed, Project, Reason, Since, Stage, selection
from sinks.database import open_delivery, open_writer
from sinks.replay.query import DeadLetterTable, Selection, until
from sinks.replay.reinsert import Patience, Refusals, Reinsertion, Target
from sinks.replay.replay import CollectorAdmin, Replayed, Replayer
from sinks.routes import ROUTES

EXIT_INCOMPLETE = 1


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
    wanted = selection(reason, stage, project, since, dead_letter_id, replayed or dead_letter_id is not None)
    with database() as (settings, reader):
        summary = reader.dead_letters.summary(wanted)
        total = sum(row[3] for row in summary)
        for row_stage, row_reason, project_id, count, _ in summary:
            console.print(f"{count:8} {row_stage:10} {row_reason} (project {project_id})")
        if dry_run or not total:
            console.print("nothing sent" if dry_run else "no dead letters fit")
            return
        result = _send(settings, reader.dead_letters, until(wanted, int(time() * 1000)), total, rate)
    there = f", {result.stored} stored already" if result.stored else ""
    console.print(f"{result.sent} sent, {result.failed} not{there}")
    for problem in result.problems[:10]:
        console.print(plain(problem), style="red")
    if result.failed:
        raise typer.Exit(EXIT_INCOMPLETE)


def _send(settings: Settings, dead_letters: DeadLetterTable, wanted: Selection, total: int, rate: float) -> Replayed:
    """Send them all, a page in memory at a time; what became of them."""
    ids = open_ids(settings.schema_registry_url, settings.topic_prefix)
    admin = f"http://{settings.admin_host}:{settings.collector_admin_port}"
    replayer = Replayer(
        dead_letters,
        CollectorAdmin(settings.sinks_collector_admin_url or admin),
        Producer(producer_config(settings)),
        Codec("raw_events", ids),
        [settings.topic(name) for name, topic in TOPICS.items() if "streams" in topic.consumers],
        Reinsertion(partial(_target, settings, ids), monotonic),
        rate,
    )
    result = Replayed()
    with Progress(console=console, disable=not sys.stdout.isatty()) as progress:
        task = progress.add_task("replaying", total=total)
        for page in dead_letters.pages(wanted):
            result.add(replayer.replay(page))
            progress.advance(task, len(page))
    return result


def _target(settings: Settings, ids: SchemaIds, topic_name: str) -> Target | None:
    """The way into a table, as `python -m sinks run` has it, but for where refused rows go."""
    route = ROUTES.get(topic_name.removeprefix(settings.topic_prefix))
    if route is None:
        return None
    schemas = SchemaTexts(route.topic, ids)
    refusals, patience = Refusals(), Patience()
    writer = open_writer(settings, route, schemas)
    delivery = open_delivery(settings, route, writer, ColumnCodec(route.topic, ids), refusals, patience)
    return Target(route, schemas.verdict, delivery, refusals, patience)
