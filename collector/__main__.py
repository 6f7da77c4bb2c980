"""`python -m collector`: run the HTTP server, manage the projects."""

import asyncio
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

from collector.events.event_ids import EventIds
from collector.http.app import Collector
from collector.http.browser_sdks import BrowserSdks, NoSdksError
from collector.http.counts import Counts
from collector.http.public_url import PublicUrls
from collector.http.resources import Resources
from collector.http.trusted_proxies import TrustedProxies
from collector.ingest import Ingest
from collector.kafka.encode import DeadLetterEncoder, Encoders, RawEventEncoder
from collector.kafka.publisher import KafkaPublisher
from collector.projects.commands import projects
from collector.projects.directory import ProjectDirectory
from collector.server.lifecycle import Parts, Sockets, serve
from collector.server.sockets import PortTakenError, bind, raise_open_files_limit
from collector.server.supervise import supervise
from collector.whatsapp.apps import Apps, AppsFileError
from collector.whatsapp.commands import whatsapp
from schemas import logs
from schemas.codec import Codec
from schemas.command_line import Commands
from schemas.exits import SETTINGS, settings_or_exit
from schemas.metrics import CollectorMetrics
from schemas.projects_follower import ProjectsFollower
from schemas.registry import SchemaIds, open_ids
from schemas.registry_wait import registry_answers
from schemas.settings import Settings, to_environ

_log = structlog.get_logger()
app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
app.add_typer(projects, name="projects")
app.add_typer(whatsapp, name="whatsapp")


def _bind(host: str, port: int, names: str, shared: bool = False) -> socket.socket:
    """A bound socket; `names` are the settings to blame when there can be none."""
    try:
        return bind(host, port, shared)
    except PortTakenError as error:
        typer.echo(f"{names}: {error}", err=True)
        raise typer.Exit(SETTINGS) from None


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
    settings = settings_or_exit()
    logs.configure(settings)
    if settings.collector_processes > 1 and not shared:
        raise typer.Exit(_run_several(settings))
    sockets = Sockets(_bind_public(settings, shared), _bind_admin(settings))
    sdks, apps = _browser_sdks(settings), _apps(settings)
    raise_open_files_limit(settings.collector_connections_max)
    raise typer.Exit(uvloop.run(_run_one(settings, sdks, apps, sockets, watch_parent=shared)))


async def _run_one(settings: Settings, sdks: BrowserSdks, apps: Apps, sockets: Sockets, watch_parent: bool) -> int:
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
    parts = _build(settings, sdks, apps, ids, fail)
    return await serve(parts, sockets, stop, lambda: failures[0] if failures else "")


def _browser_sdks(settings: Settings) -> BrowserSdks:
    try:
        return BrowserSdks(settings.collector_browser_sdks_path)
    except NoSdksError as error:
        typer.echo(f"TALLY_COLLECTOR_BROWSER_SDKS_PATH: {error}", err=True)
        raise typer.Exit(SETTINGS) from None


def _apps(settings: Settings) -> Apps:
    try:
        return Apps(settings.collector_whatsapp_apps_path)
    except AppsFileError as error:
        typer.echo(f"TALLY_COLLECTOR_WHATSAPP_APPS_PATH: {error}", err=True)
        raise typer.Exit(SETTINGS) from None


def _build(settings: Settings, sdks: BrowserSdks, apps: Apps, ids: SchemaIds, on_fatal: Callable[[str], None]) -> Parts:
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
    resources = Resources(directory, PublicUrls(settings.collector_public_url, proxies), sdks)
    collector = Collector(
        settings,
        directory=directory,
        ingest=ingest,
        counts=counts,
        resources=resources,
        proxies=proxies,
        apps=apps,
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


if __name__ == "__main__":
    app()
