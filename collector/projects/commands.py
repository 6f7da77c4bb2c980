"""`python -m collector projects`: add, list, show, disable, whatsapp. Exits 1 when Kafka is away, 2 for bad options."""

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from collector.projects.directory import Project, ProjectDirectory
from collector.projects.numbers import taken_numbers
from collector.projects.record import project_record, project_record_of, with_number
from collector.projects.topic import ProjectsUnavailableError, read_projects, write_project
from schemas.codec import Codec
from schemas.exits import SETTINGS, settings_or_exit
from schemas.registry import RegistryUnavailableError, open_ids
from schemas.settings import Settings
from schemas.whatsapp_settings import NumberSettings

projects = typer.Typer(no_args_is_help=True, help="Projects and their write keys.")


def _codec(settings: Settings) -> Codec:
    try:
        return Codec("projects", open_ids(settings.schema_registry_url, settings.topic_prefix))
    except RegistryUnavailableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _directory(settings: Settings, codec: Codec) -> ProjectDirectory:
    try:
        return read_projects(settings, codec)
    except ProjectsUnavailableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@projects.command()
def add(
    name: Annotated[str, typer.Option(help="for people")],
    tenant: Annotated[str | None, typer.Option(help="UUID of the tenant; a new one when absent")] = None,
    origin: Annotated[list[str] | None, typer.Option(help="allowed origin, repeatable; none: every origin")] = None,
    settings_json: Annotated[
        str | None, typer.Option("--settings", help="JSON object: schemas/project_settings.py")
    ] = None,
    write_key: Annotated[str | None, typer.Option(help="the key; made up when absent. A known key is updated")] = None,
) -> None:
    """Add a project, or change the one with this write key, and print its write key."""
    settings = settings_or_exit()
    codec = _codec(settings)
    directory = _directory(settings, codec)
    existing = directory.by_key(write_key) if write_key else None
    try:
        record = project_record(
            existing,
            time.time_ns() // 1_000_000,
            name=name,
            write_key=write_key,
            tenant_id=tenant,
            allowed_origins=origin,
            settings=settings_json,
        )
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(SETTINGS) from None
    _write(settings, codec, directory, record)
    typer.echo(record["write_key"])
    if record["is_disabled"]:
        typer.echo(f"it is still disabled: `projects disable {record['write_key']} --undo` enables it", err=True)


@projects.command("list")
def list_projects() -> None:
    """All projects."""
    settings = settings_or_exit()
    table = Table("name", "write key", "project", "tenant", "origins", "state", box=None)
    for project in _directory(settings, _codec(settings)).all():
        state = "disabled" if project.is_disabled else "enabled"
        origins = ", ".join(project.allowed_origins) or "any"
        table.add_row(project.name, project.write_key, project.project_id, project.tenant_id, origins, state)
    # Names and origins are shown as they are: nothing in them is markup.
    Console(markup=False, emoji=False, highlight=False).print(table)


@projects.command()
def show(write_key: str) -> None:
    """One project as JSON. Exits 1 when there is none."""
    settings = settings_or_exit()
    project = _directory(settings, _codec(settings)).by_key(write_key)
    if project is None:
        typer.echo(f"no project has the write key {write_key}", err=True)
        raise typer.Exit(1)
    typer.echo(json.dumps(project_record_of(project), indent=2, ensure_ascii=False))


@projects.command()
def disable(write_key: str, undo: Annotated[bool, typer.Option("--undo", help="enable it again")] = False) -> None:
    """Refuse the events of a project from now on. Exits 1 when there is none with this write key."""
    settings = settings_or_exit()
    codec = _codec(settings)
    directory = _directory(settings, codec)
    project = _require(directory, write_key)
    _write(settings, codec, directory, project_record(project, time.time_ns() // 1_000_000, is_disabled=not undo))


@projects.command("whatsapp")
def set_number(
    write_key: str,
    number: Annotated[str, typer.Option(help="the phone_number_id that WhatsApp has for the business number")],
    phone: Annotated[str, typer.Option(help="the number itself: digits, with the country's")],
    default_sender: Annotated[str, typer.Option(help="who writes what nobody says: bot, agent, unknown")],
    app: Annotated[
        list[str] | None, typer.Option(help="webhook that brings its messages, repeatable; those named before stay")
    ] = None,
    echo_sender: Annotated[str, typer.Option(help="who writes in the WhatsApp Business app: bot, agent")] = "agent",
    standby_sender: Annotated[str, typer.Option(help="who writes while we stand by: bot, agent")] = "bot",
    first_state: Annotated[str, typer.Option(help="how conversations begin: queued, bot_active")] = "queued",
    source: Annotated[str, typer.Option(help="whence messages are known: webhook, events")] = "webhook",
) -> None:
    """Give a project a WhatsApp number, or change it. Exits 1 when another enabled project has it."""
    settings = settings_or_exit()
    codec = _codec(settings)
    directory = _directory(settings, codec)
    project = _require(directory, write_key)
    of_number = NumberSettings(phone, default_sender, echo_sender, standby_sender, first_state, source)
    try:
        text = with_number(project.settings, number, of_number, app or ())
        record = project_record(project, time.time_ns() // 1_000_000, settings=text)
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(SETTINGS) from None
    _write(settings, codec, directory, record)


def _require(directory: ProjectDirectory, write_key: str) -> Project:
    project = directory.by_key(write_key)
    if project is None:
        typer.echo(f"no project has the write key {write_key}", err=True)
        raise typer.Exit(1)
    return project


def _write(settings: Settings, codec: Codec, directory: ProjectDirectory, record: dict[str, Any]) -> None:
    if not record["is_disabled"]:
        _require_numbers(directory, record)
    try:
        write_project(settings, codec, record)
    except ProjectsUnavailableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _require_numbers(directory: ProjectDirectory, record: dict[str, Any]) -> None:
    try:
        taken = taken_numbers(directory.numbers, record["project_id"], record["settings"])
    except ValueError:
        return  # those of another release, as they were: a new name must not fail for them
    if taken:
        typer.echo("\n".join(taken), err=True)
        raise typer.Exit(1)
