"""`trace`: where one event is, and why. Reads Kafka and the tables, and changes nothing."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from schemas.command_line import plain
from sinks.commands.console import console, moment_ms, sources
from sinks.ledger.outcomes import LedgerOutcome
from sinks.ledger.trace import Sighting, Tracer

EXIT_NOWHERE = 1
_SHOWN_MAX = 100


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
    with sources() as (settings, reader, topics):
        since_ms = None if since is None else moment_ms(since)
        tell = partial(console.print, style="dim")
        sightings = Tracer(settings.streams_generation, topics, reader.trace, time.sleep, tell).find(
            message_id, since_ms
        )
    show(sightings)
    if not sightings:
        console.print(
            "nowhere: not in events, dead_letters or raw_events. Was it answered 200, by this project's write key, and "
            f"less than {settings.topic_events_days} days ago?"
        )
    if not sightings or any(sighting.outcome is LedgerOutcome.LOST for sighting in sightings):
        raise typer.Exit(EXIT_NOWHERE)


def show(sightings: Sequence[Sighting]) -> None:
    """Print where an event was found."""
    for sighting in sightings[:_SHOWN_MAX]:
        told = f" (project {sighting.project_id}): {plain(sighting.particulars)}"
        console.print(Text(sighting.outcome.words, "bold"), told, sep="")
    if len(sightings) > _SHOWN_MAX:
        console.print(f"… and {len(sightings) - _SHOWN_MAX} more")
