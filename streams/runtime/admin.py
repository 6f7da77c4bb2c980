"""The worker's admin port: /healthz, /readyz and /metrics."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from faust.types import TP
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from schemas.metrics import StreamsMetrics
from streams.events import operator as raw_events
from streams.events.lookups import Lookups
from streams.runtime.app import App
from streams.runtime.eviction import sizes


class Standing(Protocol):
    """What a worker tells of itself while it lives; `App` does."""

    @property
    def crashed(self) -> bool: ...
    @property
    def crash_reason(self) -> BaseException | None: ...
    @property
    def started(self) -> bool: ...
    @property
    def rebalancing(self) -> bool: ...
    @property
    def rebalancing_count(self) -> int: ...
    @property
    def in_recovery(self) -> bool: ...
    @property
    def epochs(self) -> "Progress": ...


class Progress(Protocol):
    """How far the epochs are, in seconds of their clock."""

    last_commit_at: float

    @property
    def topics(self) -> Mapping[str, str]: ...
    def oldest_seconds(self) -> float: ...


class Restored(Protocol):
    """A store that counts what came back to it."""

    restored: int


class Table(Protocol):
    """A table with such a store."""

    @property
    def store(self) -> Restored: ...


class Positions(Protocol):
    """The consumer: what it owns and how far that is."""

    def assignment(self) -> Iterable[TP]: ...
    def highwater(self, tp: TP) -> int | None: ...
    def committed_offset(self, tp: TP) -> int: ...


class Working(Standing, Protocol):
    """What tells whether a worker gets on."""

    @property
    def state_tables(self) -> Mapping[str, Table]: ...
    @property
    def consumer(self) -> Positions: ...


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong, if anything. `alive` false means: restart me; `ready` false: not processing yet."""

    alive: bool
    ready: bool
    reason: str


def health(app: Standing, stuck_s_max: float) -> Health:
    """The worker's condition, from the age of the oldest chunk in flight and the state of recovery."""
    if app.crashed:
        return Health(alive=False, ready=False, reason=f"crashed: {app.crash_reason!r}")
    oldest = app.epochs.oldest_seconds()
    if oldest > stuck_s_max:
        return Health(alive=False, ready=False, reason=f"the oldest chunk has waited {oldest:.0f} s")
    # Before its first rebalance a worker has no partitions, and Faust calls it neither rebalancing nor recovering.
    if not app.started or not app.rebalancing_count or app.rebalancing or app.in_recovery:
        return Health(alive=True, ready=False, reason="rebalancing or restoring tables")
    return Health(alive=True, ready=True, reason="ok")


class Observer:
    """Sets the gauges when they are asked for."""

    def __init__(self, app: App, metrics: StreamsMetrics, lookups: Lookups, clock: Callable[[], float]) -> None:
        self._app = app
        self._metrics = metrics
        self._lookups = lookups
        self._clock = clock
        self._misses: dict[str, int] = {}

    def observe(self) -> None:
        """Read everything that is not counted as it happens."""
        app, metrics = self._app, self._metrics
        metrics.oldest_chunk_seconds.set(app.epochs.oldest_seconds())
        metrics.recovering.set(int(app.in_recovery))
        metrics.restore_remaining.set(max(0, app.tables.recovery.active_remaining_total()) if app.in_recovery else 0)
        for name, table in app.state_tables.items():
            count, size = sizes(table.store)
            metrics.states.labels(name).set(count)
            metrics.state_bytes.labels(name).set(size)
            metrics.restored.labels(name).set(table.store.restored)
        metrics.evicted.labels(raw_events.TABLE).set(app.evictor.evicted)
        metrics.lag_records.clear()  # of partitions that others own by now
        oldest = now = self._clock()
        for (topic, partition), records in lags(app).items():
            metrics.lag_records.labels(topic, partition).set(records)
            if records:
                oldest = min(oldest, app.epochs.reached_at.get((topic, partition), now))
        metrics.lag_seconds.set(now - oldest)
        for lookup in self._lookups.all():
            metrics.cache_entries.labels(lookup.name).set(lookup.entries)
            metrics.cache_misses_total.labels(lookup.name).inc(lookup.misses - self._misses.get(lookup.name, 0))
            self._misses[lookup.name] = lookup.misses


class Stuck:
    """Notices that nothing moves: a consumer that died quietly, as aiokafka's can, or a rebalance that never ends.

    Records wait, and none is committed; or the worker starts, rebalances or restores, and no state comes back. A group
    that changes, or a long restore, is progress.
    """

    def __init__(self, app: Working, stuck_s_max: float, clock: Callable[[], float]) -> None:
        self._app = app
        self._stuck_s_max = stuck_s_max
        self._clock = clock
        self._progress: tuple[float, ...] = ()
        self._since = clock()

    def is_stuck(self) -> bool:
        """Whether there was something to do and no progress for the whole time allowed."""
        app, now = self._app, self._clock()
        restored = sum(table.store.restored for table in app.state_tables.values())
        progress = app.epochs.last_commit_at, restored, app.rebalancing_count
        waits = not app.started or app.rebalancing or app.in_recovery or any(lags(app).values())
        if progress != self._progress or not waits:
            self._progress = progress
            self._since = now
        return now - self._since > self._stuck_s_max


def lags(app: Working) -> dict[tuple[str, int], int]:
    """Records not yet committed, by source's name and partition."""
    found = {}
    names = app.epochs.topics
    for tp in app.consumer.assignment():
        if tp.topic in names:
            end = app.consumer.highwater(tp)
            if end is not None:
                found[names[tp.topic], tp.partition] = max(0, end - app.consumer.committed_offset(tp))
    return found


def create_admin(app: App, registry: CollectorRegistry, stuck_s_max: float, observer: Observer) -> web.Application:
    """The admin application."""

    async def healthz(request: web.Request) -> web.Response:
        condition = health(app, stuck_s_max)
        return web.json_response({"reason": condition.reason}, status=200 if condition.alive else 503)

    async def readyz(request: web.Request) -> web.Response:
        condition = health(app, stuck_s_max)
        return web.json_response({"reason": condition.reason}, status=200 if condition.ready else 503)

    async def metrics_page(request: web.Request) -> web.Response:
        observer.observe()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    admin = web.Application()
    admin.router.add_get("/healthz", healthz)
    admin.router.add_get("/readyz", readyz)
    admin.router.add_get("/metrics", metrics_page)
    return admin
