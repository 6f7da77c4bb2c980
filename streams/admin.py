"""The worker's admin port: /healthz, /readyz and /metrics."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from schemas.metrics import StreamsMetrics
from streams.app import App
from streams.eviction import sizes


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong, if anything. `alive` false means: restart me; `ready` false: not processing yet."""

    alive: bool
    ready: bool
    reason: str


def health(app: App, stuck_s_max: float) -> Health:
    """The worker's condition, from the age of the oldest chunk in flight and the state of recovery."""
    if app.crashed:
        return Health(alive=False, ready=False, reason=f"crashed: {app.crash_reason!r}")
    oldest = app.epochs.oldest_seconds()
    if oldest > stuck_s_max:
        return Health(alive=False, ready=False, reason=f"the oldest chunk has waited {oldest:.0f} s")
    if not app.started or app.rebalancing or app.in_recovery:
        return Health(alive=True, ready=False, reason="rebalancing or restoring tables")
    return Health(alive=True, ready=True, reason="ok")


def observe(app: App, metrics: StreamsMetrics) -> None:
    """Set the gauges; called when they are asked for."""
    metrics.oldest_chunk_seconds.set(app.epochs.oldest_seconds())
    metrics.recovering.set(int(app.in_recovery))
    for name, table in app.state_tables.items():
        count, size = sizes(table.store)
        metrics.states.labels(name).set(count)
        metrics.state_bytes.labels(name).set(size)
        metrics.restored.labels(name).set(table.store.restored)
    metrics.evicted.labels("sessions").set(app.evictor.evicted)
    for (topic, partition), records in lags(app).items():
        metrics.lag_records.labels(topic, partition).set(records)


def lags(app: App) -> dict[tuple[str, int], int]:
    """Records not yet committed, by topic and partition of the sources."""
    consumer = app.consumer
    found = {}
    for tp in consumer.assignment():
        if tp.topic in app.epochs.topics:
            end = consumer.highwater(tp)
            committed = consumer._committed_offset[tp]
            if end is not None:
                found[tp.topic, tp.partition] = max(0, end - (committed or 0))
    return found


def create_admin(
    app: App, metrics: StreamsMetrics, registry: CollectorRegistry, stuck_s_max: float, refresh: Callable[[], None]
) -> web.Application:
    """The admin application. `refresh` is called before metrics are rendered."""

    async def healthz(request: web.Request) -> web.Response:
        condition = health(app, stuck_s_max)
        return web.json_response({"reason": condition.reason}, status=200 if condition.alive else 503)

    async def readyz(request: web.Request) -> web.Response:
        condition = health(app, stuck_s_max)
        return web.json_response({"reason": condition.reason}, status=200 if condition.ready else 503)

    async def metrics_page(request: web.Request) -> web.Response:
        observe(app, metrics)
        refresh()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    admin = web.Application()
    admin.router.add_get("/healthz", healthz)
    admin.router.add_get("/readyz", readyz)
    admin.router.add_get("/metrics", metrics_page)
    return admin
