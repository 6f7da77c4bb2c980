"""The options that say which dead letters are meant."""

from typing import Annotated

import typer

from sinks.commands.console import moment_ms
from sinks.replay.query import Selection

Reason = Annotated[str | None, typer.Option(help="only this reason")]
Stage = Annotated[str | None, typer.Option(help="only this stage: collector, streams, sinks")]
Project = Annotated[str | None, typer.Option(help="only this project id")]
AlsoReplayed = Annotated[bool, typer.Option("--replayed", help="also those that were sent through again already")]
Since = Annotated[str | None, typer.Option(help="only what was first seen since: 30m, 6h, 2d, or an ISO time")]


def selection(
    reason: str | None,
    stage: str | None,
    project: str | None,
    since: str | None,
    dead_letter_id: str | None = None,
    replayed: bool = False,
) -> Selection:
    """The dead letters that all given options fit. Raises typer.BadParameter."""
    since_ms = None if since is None else moment_ms(since)
    return Selection(reason, stage, project, since_ms, dead_letter_id, replayed=replayed)
