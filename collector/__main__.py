"""`python -m collector`: run the HTTP server, manage the projects."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated

import structlog
import typer
import uvloop
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from collector.events.event_ids import EventIds
from collector.http.app import Collector
from collector.http.browser_sdks import BrowserSdks, NoSdksError
from collector.http.counts import Counts
from collector.http.pages import Pages
from collector.http.public_url import PublicUrls
from collector.http.trusted_proxies import TrustedProxies
from collector.ingest import Encoders, Ingest
from collector.kafka.encode import DeadLetterEncoder, RawEventEncoder
from collector.kafka.publisher import KafkaPublisher
from collector.projects.directory import ProjectDirectory
from collector.projects.topic import (
    ProjectsUnavailableError,
    project_record,
    project_record_of,
    read_projects,
    write_project,
)
from collector.server.lifecycle import Parts, Sockets, serve
from collector.server.sockets import PortTakenError, bind, raise_open_files_limit
from collector.server.supervise import supervise
from schemas import logs
from schemas.codec import Codec
from schemas.metrics import CollectorMetrics
from schemas.projects import ProjectsFollower
from schemas.registry import RegistryUnavailableError, SchemaIds, open_ids
from schemas.registry_wait import registry_answers
from schemas.settings import Settings, SettingsError, load, to_environ

_log = structlog.get_logger()
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
projects = typer.Typer(no_args_is_help=True, help="Projects and their write keys.")
app.add_typer(projects, name="projects")


def _settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _bind(host: str, port: int, names: str, shared: bool = False) -> socket.socket:
    """A bound socket; `names` are the settings to blame when there can be none."""
    try:
        return bind(host, port, shared)
    except PortTakenError as error:
        typer.echo(f"{names}: {error}", err=True)
        raise typer.Exit(2) from None


def _bind_public(settings: Settings, shared: bool) -> socket.socket:
    names = "TALLY_COLLECTOR_HOST, TALLY_COLLECTOR_PORT"
    return _bind(settings.collector_host, settings.collector_port, names, shared)


def _bind_admin(settings: Settings) -> socket.socket:
    return _bind(settings.admin_host, settings.collector_admin_port, "TALLY_ADMIN_HOST, TALLY_COLLECTOR_ADMIN_PORT")


@app.command()
def run(
    shared: Annotated[bool, typer.Option(hidden=True, help="one of several processes on the port")] = False,
) -> None:
    """Serve until SIGTERM. Exits 0 after a clean stop, 1 after a failure, 2 for bad settings."""
    settings = _settings()
    logs.configure(settings)
    if settings.collector_processes > 1 and not shared:
        raise typer.Exit(_run_several(settings))
    sockets = Sockets(_bind_public(settings, shared), _bind_admin(settings))
    sdks = _browser_sdks(settings)
    raise_open_files_limit(settings.collector_connections_max)
    raise typer.Exit(uvloop.run(_run_one(settings, sdks, sockets, watch_parent=shared)))


async def _run_one(settings: Settings, sdks: BrowserSdks, sockets: Sockets, watch_parent: bool) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    failures: list[str] = []

    def fail(reason: str) -> None:
        failures.append(reason)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if watch_parent:
        # The other end of the pipe closes when the parent dies, however it does.
        loop.add_reader(sys.stdin.fileno(), stop.set)
    ids = open_ids(settings.schema_registry_url, settings.topic_prefix)
    topics = ("projects", "raw_events", "dead_letters")
    if not await registry_answers(
        ids, topics, stop, lambda why: _log.warning("waiting for the schema registry", error=why)
    ):
        return 0
    parts = _build(settings, sdks, ids, fail)
    return await serve(parts, sockets, stop, lambda: failures[0] if failures else "")


def _browser_sdks(settings: Settings) -> BrowserSdks:
    try:
        return BrowserSdks(settings.collector_browser_sdks_path)
    except NoSdksError as error:
        typer.echo(f"TALLY_COLLECTOR_BROWSER_SDKS_PATH: {error}", err=True)
        raise typer.Exit(2) from None


def _build(settings: Settings, sdks: BrowserSdks, ids: SchemaIds, on_fatal: Callable[[str], None]) -> Parts:
    directory = ProjectDirectory()
    registry = CollectorRegistry()
    metrics = CollectorMetrics(registry)
    counts = Counts(metrics)
    publisher = KafkaPublisher(settings, on_fatal)
    ingest = Ingest(
        settings,
        directory=directory,
        publisher=publisher,
        encoders=Encoders(RawEventEncoder(Codec("raw_events", ids)), DeadLetterEncoder(Codec("dead_letters", ids))),
        ids=EventIds(random.getrandbits),
        clock=time.time,
    )
    proxies = TrustedProxies(settings.collector_trusted_proxies, settings.collector_address_headers)
    pages = Pages(directory, PublicUrls(settings.collector_public_url, proxies), sdks)
    collector = Collector(
        settings,
        directory=directory,
        ingest=ingest,
        counts=counts,
        pages=pages,
        proxies=proxies,
    )

    def on_loaded() -> None:
        _log.info("projects read", projects=len(directory), topic=settings.topic("projects"))
        if not directory:
            _log.warning("no project is known: every request is answered 503", topic=settings.topic("projects"))
        collector.is_loaded = True

    follower = ProjectsFollower(settings, ids, directory, on_loaded)
    return Parts(settings, collector, ingest, publisher, follower, directory, metrics, counts, registry)


def _run_several(settings: Settings) -> int:
    """Start the processes on one port and watch over them."""
    reserved = _bind_public(settings, shared=True)  # bound, it holds the port; not listening, it takes nothing
    port = reserved.getsockname()[1]

    def starter(index: int) -> Callable[[], "subprocess.Popen[bytes]"]:
        admin_port = settings.collector_admin_port and settings.collector_admin_port + index
        own = settings.model_copy(update={"collector_port": port, "collector_admin_port": admin_port})
        command = [sys.executable, "-m", "collector", "run", "--shared"]
        environment = os.environ | to_environ(own)
        return lambda: subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)

    starts = [starter(index) for index in range(settings.collector_processes)]
    return supervise(starts, (settings.collector_drain_delay_ms + settings.collector_stop_ms_max) / 1000 + 5)


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
    settings_json: Annotated[str | None, typer.Option("--settings", help="JSON object: conversion_events, …")] = None,
    write_key: Annotated[str | None, typer.Option(help="the key; made up when absent. A known key is updated")] = None,
) -> None:
    """Add a project, or change the one with this write key, and print its write key."""
    settings = _settings()
    codec = _codec(settings)
    existing = _directory(settings, codec).by_key(write_key) if write_key else None
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
        raise typer.Exit(2) from None
    _write(settings, codec, record)
    typer.echo(record["write_key"])
    if record["is_disabled"]:
        typer.echo(f"it is still disabled: `projects disable {record['write_key']} --undo` enables it", err=True)


@projects.command("list")
def list_projects() -> None:
    """All projects."""
    settings = _settings()
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
    settings = _settings()
    project = _directory(settings, _codec(settings)).by_key(write_key)
    if project is None:
        typer.echo(f"no project has the write key {write_key}", err=True)
        raise typer.Exit(1)
    typer.echo(json.dumps(project_record_of(project), indent=2, ensure_ascii=False))


@projects.command()
def disable(write_key: str, undo: Annotated[bool, typer.Option("--undo", help="enable it again")] = False) -> None:
    """Refuse the events of a project from now on. Exits 1 when there is none with this write key."""
    settings = _settings()
    codec = _codec(settings)
    project = _directory(settings, codec).by_key(write_key)
    if project is None:
        typer.echo(f"no project has the write key {write_key}", err=True)
        raise typer.Exit(1)
    _write(settings, codec, project_record(project, time.time_ns() // 1_000_000, is_disabled=not undo))


def _write(settings: Settings, codec: Codec, record: dict[str, object]) -> None:
    try:
        write_project(settings, codec, record)
    except ProjectsUnavailableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
