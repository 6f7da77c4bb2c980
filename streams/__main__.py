"""`python -m streams run`: one worker. Scale by starting more, one a core, in the same group.

`state` and `explain` look at what workers have made (`streams.inspection`); `identities` shows a person's links, makes
and takes back.
"""

import os

# Before polars is imported: a worker has one core, and the threads of the others would only take turns on it.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Final, Protocol

import structlog
import typer
import uvloop
from aiohttp import web
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from schemas import logs
from schemas.apply.findings import ApplyError, UnreachableError
from schemas.apply.topics import check_topics
from schemas.command_line import Commands
from schemas.kafka import producer_config
from schemas.metrics import StreamsMetrics
from schemas.projects_follower import ProjectsFollower, Together
from schemas.registry import SchemaIds, open_ids
from schemas.registry_wait import registry_answers
from schemas.settings import Settings, SettingsError, load
from schemas.topics import TOPICS
from streams.carry.command import carry
from streams.conversations.settings import BusinessNumbers
from streams.events.claims import LoginEvents, PlaceholderIds
from streams.events.lookups import Lookups, open_lookups
from streams.identity_changes.commands import identities
from streams.inspection.commands import explain, state
from streams.runtime.admin import Observer, create_admin
from streams.runtime.app import App
from streams.runtime.exits import Exit
from streams.runtime.health import Stuck
from streams.runtime.publisher import KafkaPublisher
from streams.runtime.schemas_apart import SchemasApart
from streams.sessions.conversions import ConversionEvents
from streams.topology import Parts, create_worker

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
log = structlog.get_logger("streams")
_SAY_WAITING_S: Final = 10.0


app.command()(state)
app.command()(explain)
app.command()(carry)
app.add_typer(identities, name="identities")


@app.callback()
def _main() -> None:
    """The stream processing of Tally."""


@app.command()
def run(check: Annotated[bool, typer.Option(help="check settings and topics, and exit")] = False) -> None:
    """Process raw_events, identity_claims and conversation_signals until SIGTERM or SIGINT."""
    try:
        settings = load()
        logs.configure(settings)
        lacking = [finding for finding in check_topics(settings) if not finding.settled]
        if lacking:
            raise ApplyError("\n".join(map(str, lacking)) + "\nrun `python -m schemas apply`")
        if not check:
            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
            asyncio.run(_run(settings))
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.SETTINGS) from None
    except UnreachableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.UNREACHABLE) from None
    except ApplyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.TOPICS) from None


async def _run(settings: Settings) -> None:
    registry = CollectorRegistry()
    metrics = StreamsMetrics(registry)
    ids = open_ids(settings.schema_registry_url, settings.topic_prefix)
    lookups = open_lookups(settings)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    topics = [name for name, topic in TOPICS.items() if "streams" in (*topic.producers, *topic.consumers)]
    if not await registry_answers(
        ids, topics, stopping, lambda why: log.warning("waiting for the registry", error=why)
    ):
        return
    conversions, numbers = ConversionEvents(), BusinessNumbers()
    placeholders, logins = PlaceholderIds(), LoginEvents()
    loaded = asyncio.Event()
    follower = ProjectsFollower(settings, ids, Together(conversions, placeholders, logins, numbers), loaded.set)
    following = asyncio.create_task(follower.run())
    parts = _parts(settings, SchemasApart(ids), lookups, conversions, metrics)
    worker = create_worker(settings, replace(parts, placeholders=placeholders, logins=logins, numbers=numbers))
    observer = Observer(worker, metrics, lookups.all(), time.time)
    admin = web.AppRunner(create_admin(worker, registry, settings.streams_stuck_s_max, observer), access_log=None)
    await admin.setup()
    await web.TCPSite(admin, settings.admin_host, settings.streams_admin_port).start()
    # Conversions and claims depend on the projects: the first event must not meet an empty list of them.
    await _loaded(loaded, stopping, following)
    if stopping.is_set():
        return
    # What exists now lives as long as the process; what a chunk makes is freed by its last reference. Collecting as
    # often as Python does by default costs a quarter of the worker's time.
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    worker.finalize()
    await _start(worker, settings)
    ticking, tending = asyncio.create_task(worker.epochs.run()), asyncio.create_task(worker.tend())
    log.info("worker started", group=worker.conf.id, topics=sorted(worker.epochs.topics))
    await _until_stopped(stopping, worker, (following, ticking, tending), settings.streams_stuck_s_max)
    log.info("stopping: making the open epoch durable")
    tending.cancel()
    await worker.stop()
    for task in (ticking, following):
        task.cancel()
    follower.close()
    await admin.cleanup()
    log.info("stopped")


def _parts(
    settings: Settings, ids: SchemaIds, lookups: Lookups, conversions: ConversionEvents, metrics: StreamsMetrics
) -> Parts:
    producer = producer_config(
        settings,
        linger_ms=5,
        batch_size=2**20,
        batch_num_messages=20_000,
        queue_buffering_max_messages=200_000,
        queue_buffering_max_kbytes=256 * 1024,
    )
    return Parts(
        ids=ids,
        lookups=lookups,
        conversions=conversions,
        outputs=KafkaPublisher(producer),
        changelogs=KafkaPublisher(producer, offsets=True),
        metrics=metrics,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


class _Starting(Protocol):
    async def start(self) -> None:
        """Join the group."""


async def _start(worker: _Starting, settings: Settings) -> None:
    """Join the group. Raises UnreachableError when Kafka went away after the topics were looked at."""
    try:
        await worker.start()
    except KafkaError as error:
        raise UnreachableError(f"Kafka at {settings.kafka_bootstrap} cannot be reached: {error!r}") from None


async def _loaded(loaded: asyncio.Event, stopping: asyncio.Event, following: asyncio.Task[None]) -> None:
    """Return once the projects are loaded or a signal came; says that it waits. Ends the process if none reads them."""
    waiting = [asyncio.create_task(event.wait()) for event in (loaded, stopping)]
    while not (loaded.is_set() or stopping.is_set()):
        await asyncio.wait([*waiting, following], timeout=_SAY_WAITING_S, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            log.critical("the projects cannot be read; ending", reason=repr(following.exception()))
            os._exit(Exit.FAILED)
        if not (loaded.is_set() or stopping.is_set()):
            log.warning("waiting for the projects; not ready before they are loaded")
    for task in waiting:
        task.cancel()


async def _until_stopped(
    stopping: asyncio.Event, worker: App, tasks: Iterable[asyncio.Task[None]], stuck_s: int
) -> None:
    """Wait for a signal. A crash, or no progress in spite of lag, ends the process at once, without a commit."""
    watch = Stuck(worker, stuck_s, time.monotonic)
    while not stopping.is_set():
        ended = [task for task in tasks if task.done()]
        if worker.crashed or ended:
            log.critical("the worker crashed; ending without a commit", reason=repr(worker.crash_reason or ended))
            os._exit(Exit.FAILED)
        if watch.is_stuck():
            log.critical("nothing moves although there is work; ending without a commit", seconds=stuck_s)
            os._exit(Exit.STUCK)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.2)


if __name__ == "__main__":
    app()
