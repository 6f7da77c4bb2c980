"""`materialize`: a property that is asked for often gets a column of `events`."""

import time
from collections.abc import Callable
from typing import Annotated

import typer
from clickhouse_driver import Client

from schemas.apply import materialize as server
from schemas.apply import property_views
from schemas.apply.findings import ApplyError
from schemas.apply.tables import connected
from schemas.command_line import plain
from schemas.exits import settings_or_exit
from schemas.properties import MaterializedProperty, PropertyType, property_type

_POLL_S = 0.3


def materialize(
    name: Annotated[
        str | None,
        typer.Option("--property", help=r"its name: price, cart.total; a dot that is part of a key: utm\.source"),
    ] = None,
    kind: Annotated[
        str, typer.Option("--type", help="String, Float64, Int64, Bool or DateTime; other values are NULL")
    ] = "String",
    project: Annotated[str | None, typer.Option(help="fill it for this project id alone; default: for all")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="say what would be done, do nothing")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="the properties that have a column")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="drop its column again; without --yes only say what would be dropped")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="with --drop: do it")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="wait until the rows that stand already are filled")
    ] = True,
) -> None:
    """Give a property a column of `events`, computed from the JSON, so that filtering and grouping by it is fast.

    Safe to repeat and to interrupt: ClickHouse goes on filling in the background, and another call waits for it.
    """
    settings = settings_or_exit()
    try:
        with connected(settings) as client:
            if list_all:
                _list(client)
                return
            if name is None:
                raise ApplyError("name a property (--property price), or ask for the list (--list)")
            entry = server.wanted(name, _type(kind), project)
            if drop:
                _drop(client, entry, do=yes and not plan)
            else:
                _add(client, entry, plan=plan, wait=wait)
    except ApplyError as error:
        _say(str(error), err=True)
        raise typer.Exit(1) from None


def _say(text: str, *, err: bool = False) -> None:
    """Names of properties, projects and views are others' texts."""
    typer.echo(plain(text), err=err)


def _type(text: str) -> PropertyType:
    try:
        return property_type(text)
    except ValueError as error:
        raise ApplyError(str(error)) from None


def _list(client: Client) -> None:
    sizes = server.sizes(client)
    if not sizes:
        _say("no property has a column of its own")
    for size in sizes:
        entry = size.entry
        whose = "all projects" if entry.project_id is None else f"project {entry.project_id}"
        filled = f"{size.parts_filled} of {size.parts} parts filled"
        _say(f"{entry.name}  {entry.type}  {whose}  {entry.column}  {size.compressed_bytes:,} bytes  {filled}")


def _add(client: Client, entry: MaterializedProperty, *, plan: bool, wait: bool) -> None:
    if entry.project_id is not None:
        server.check_project(client, entry.project_id)
    standing = server.find_entry(client, entry)
    if standing is None and not server.occurs(client, entry):
        names = ", ".join(server.sample_names(client, entry)) or "none, there are no events"
        _say(f"no event looked at has the property {entry.name!r}; there are: {names}", err=True)
    if plan:
        if standing is None:
            _say(f"would run: ALTER TABLE events ADD COLUMN {server.definition(entry)}")
            _say(f"would write the views {', '.join(property_views.ours(client))} anew, with the column")
        lacking = server.read_progress(client, entry).lacking
        _say(f"would fill {lacking} parts: ALTER TABLE events MATERIALIZE COLUMN {entry.column}")
        return
    if standing is None:
        server.add(client, entry)
        _say(f"added column {entry.column}")
    _tell(property_views.follow(client))
    progress = server.start_filling(client, entry)
    if wait:
        _follow(lambda: server.start_filling(client, entry), progress)
    elif progress.lacking:
        _say(f"being filled in the background: {progress.lacking} of {progress.parts} parts to do; see --list")


def _tell(followed: property_views.Followed) -> None:
    for view in followed.written:
        _say(f"wrote view {view} anew, with the columns that there are")
    for view in followed.left:
        _say(f"view {view} is not the contract's: left as it is; `schemas apply` would replace it", err=True)


def _follow(ask: Callable[[], server.Progress], progress: server.Progress) -> None:
    """Until no part lacks the column. A part that came of a merge in between is filled by asking again."""
    said = -1
    while progress.lacking:
        if progress.error:
            raise ApplyError(f"ClickHouse cannot fill the column, and goes on trying: {progress.error}")
        if progress.lacking != said:
            said = progress.lacking
            _say(f"filling: {progress.lacking} of {progress.parts} parts to do")
        time.sleep(_POLL_S)
        progress = ask()
    _say(f"filled: all {progress.parts} parts have it")


def _drop(client: Client, entry: MaterializedProperty, *, do: bool) -> None:
    """Only columns of the catalogue are dropped, never one that somebody else made."""
    standing = next(
        (size for size in server.sizes(client) if size.entry.column == entry.column and size.entry.name == entry.name),
        None,
    )
    if standing is None:
        if do:
            _tell(property_views.follow(client))  # where a drop was interrupted
        raise ApplyError(f"property {entry.name} has no column of its own: nothing to drop; see --list")
    if users := list(server.users_of(client, entry)):
        raise ApplyError(f"{', '.join(users)} would fail without column {entry.column}: drop or change these first")
    what = f"column {entry.column} ({standing.compressed_bytes:,} bytes); the property stays in properties"
    if do:
        server.drop(client, entry)
        _say(f"dropped {what}")
    else:
        _say(f"would drop {what}. Add --yes to do it")
