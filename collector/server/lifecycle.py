"""The life of one collector process: start, be ready, serve, drain, end."""

import asyncio
import gc
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from collector.http.app import Collector
from collector.http.connection import Server
from collector.http.counts import Counts
from collector.ingest import Ingest
from collector.kafka.publisher import KafkaPublisher
from collector.projects.directory import ProjectDirectory
from collector.server.admin import create_admin
from collector.server.sockets import drop_new_connections
from schemas.metrics import CollectorMetrics
from schemas.projects_follower import ProjectsFollower
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_IDLE_GRACE_S: Final = 0.5
_BACKLOG: Final = 1024


class Sockets(NamedTuple):
    """The sockets, bound: a port that is taken is a bad setting, found before anything starts."""

    public: socket.socket
    admin: socket.socket


class Parts(NamedTuple):
    """What a process is made of; `__main__` makes it."""

    settings: Settings
    collector: Collector
    ingest: Ingest
    publisher: KafkaPublisher
    follower: ProjectsFollower
    directory: ProjectDirectory
    metrics: CollectorMetrics
    counts: Counts
    registry: CollectorRegistry


async def serve(parts: Parts, sockets: Sockets, stop: asyncio.Event, failure: Callable[[], str]) -> int:
    """Serve until `stop` is set; the exit code: 0 when everything taken was acknowledged and nothing failed."""
    server = Server(parts.collector, parts.settings)
    admin = await _start_admin(parts, server, sockets.admin, lambda: _why_not_ready(parts.collector, failure()))
    following = asyncio.create_task(parts.follower.run())
    listening = await asyncio.get_running_loop().create_server(server, sock=sockets.public, backlog=_BACKLOG)
    _log.info("listening", address="{}:{}".format(*sockets.public.getsockname()[:2]))
    # What has been made by now stays: the collector of garbage need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((stopping, following), return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        stopping.cancel()
        _log.error("projects are not followed any more", error=str(following.exception()))
    parts.collector.is_draining = True
    if not failure() and not following.done() and (delay_ms := parts.settings.collector_drain_delay_ms):
        _log.info("not ready any more, still serving", for_ms=delay_ms)
        await asyncio.wait((following,), timeout=delay_ms / 1000)
    unacknowledged = await _drain(parts, server, listening, sockets.public)
    failed = bool(failure()) or following.done()
    following.cancel()
    parts.follower.close()
    await admin.cleanup()
    _log.info("stopped", unacknowledged=unacknowledged)
    return 1 if unacknowledged or failed else 0


async def _drain(parts: Parts, server: Server, listening: asyncio.Server, listener: socket.socket) -> int:
    """Take no more, answer what is open, wait for Kafka; returns how many records stay unacknowledged."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + parts.settings.collector_stop_ms_max / 1000
    parts.collector.is_stopping = True
    drop_new_connections(listener)
    # Who has been let in is accepted; a request under way on an idle connection is answered as its last.
    await asyncio.sleep(_IDLE_GRACE_S)
    listening.close()
    server.close_idle()
    await server.shutdown(max(0.1, deadline - loop.time()))
    return parts.publisher.close(max(0.1, deadline - loop.time()))


def _why_not_ready(collector: Collector, failure: str) -> str:
    if collector.is_draining:
        return "stopping"
    if not collector.is_loaded:
        return "the projects are not read yet"
    return failure


async def _start_admin(
    parts: Parts, server: Server, listener: socket.socket, why_not_ready: Callable[[], str]
) -> web.AppRunner:
    def refresh() -> None:
        parts.counts.flush()
        parts.metrics.inflight_bytes.set(parts.publisher.inflight_bytes)
        parts.metrics.receiving_bytes.set(parts.collector.receiving_bytes)
        parts.metrics.connections.set(server.open_connections)
        parts.metrics.projects.set(len(parts.directory))

    runner = web.AppRunner(create_admin(parts.registry, refresh, why_not_ready, parts.ingest.replay), access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner
