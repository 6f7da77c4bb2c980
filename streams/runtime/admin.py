"""The worker's admin port: /healthz, /readyz, /metrics, and /keys."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from schemas.admin_app import create_admin_app
from schemas.metrics import StreamsMetrics
from streams.runtime.app import App
from streams.runtime.eviction import sizes
from streams.runtime.health import health, lags

_HOT_KEYS: Final = 5  # with a series each
_HOT_KEYS_SHOWN: Final = 20


class Cache(Protocol):
    """A cache that counts: how many entries it has, and how often it had to look further."""

    @property
    def name(self) -> str: ...
    @property
    def entries(self) -> int: ...
    @property
    def misses(self) -> int: ...


class Observer:
    """Sets the gauges when they are asked for."""

    def __init__(self, app: App, metrics: StreamsMetrics, caches: Sequence[Cache], clock: Callable[[], float]) -> None:
        self._app = app
        self._metrics = metrics
        self._caches = caches
        self._clock = clock
        self._misses: dict[str, int] = {}
        self._expired: dict[str, int] = {}
        self._waits_since: dict[tuple[str, int], float] = {}

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
        for name, evictor in app.evictors.items():
            metrics.evicted.labels(name).set(evictor.evicted)
        for name, cache in app.state_caches.items():
            metrics.largest_state_bytes.labels(name).set(cache.largest_bytes)
        metrics.hot_key_share.clear()  # there may be fewer by now
        for rank, (_, share) in enumerate(app.hot_keys(_HOT_KEYS), start=1):
            metrics.hot_key_share.labels(rank).set(share)
        metrics.conversations.clear()
        for state, count in app.open_conversations().items():
            metrics.conversations.labels(state).set(count)
        if app.started:
            self._observe_lag()
        for lookup in self._caches:
            metrics.cache_entries.labels(lookup.name).set(lookup.entries)
            metrics.cache_misses_total.labels(lookup.name).inc(lookup.misses - self._misses.get(lookup.name, 0))
            self._misses[lookup.name] = lookup.misses

    def _observe_lag(self) -> None:
        app, metrics, now = self._app, self._metrics, self._clock()
        behind = lags(app)
        metrics.lag_records.clear()  # of partitions that others own by now
        for (topic, partition), records in behind.items():
            metrics.lag_records.labels(topic, partition).set(records)
        # Nothing of a partition may have been read yet.
        self._waits_since = {place: self._waits_since.get(place, now) for place, records in behind.items() if records}
        reached = (app.epochs.reached_at.get(place, since) for place, since in self._waits_since.items())
        metrics.lag_seconds.set(now - min(reached, default=now))
        for topic, expired in app.consumer.expired.items():
            name = app.epochs.topics.get(topic, topic)
            metrics.expired_records_total.labels(name).inc(expired - self._expired.get(topic, 0))
            self._expired[topic] = expired


def create_admin(app: App, registry: CollectorRegistry, stuck_s_max: float, observer: Observer) -> web.Application:
    """The admin application; it answers what is wrong as text."""

    def healthy() -> str:
        condition = health(app, stuck_s_max)
        return "" if condition.alive else condition.reason

    def ready() -> str:
        condition = health(app, stuck_s_max)
        return "" if condition.ready else condition.reason

    async def keys(_request: web.Request) -> web.Response:
        return web.Response(text=keys_page(app))

    admin = create_admin_app(registry, observer.observe, healthy=healthy, ready=ready)
    admin.router.add_get("/keys", keys)
    return admin


def keys_page(app: App) -> str:
    """The keys that give a worker the most to do: which visitor that is, no metric says."""
    hot = (f"{share:7.2%}  {_text(key)}\n" for key, share in app.hot_keys(_HOT_KEYS_SHOWN))
    largest = (
        f"{cache.largest_bytes:9,}  {name}  {_text(cache.largest_key)}\n" for name, cache in app.state_caches.items()
    )
    return "".join(
        ["share of the last records of raw_events, by key\n", *hot, "\nlargest state written, in bytes\n", *largest]
    )


def _text(key: bytes) -> str:
    """A key on one line."""
    return repr(key.decode("utf-8", "backslashreplace"))[1:-1]
