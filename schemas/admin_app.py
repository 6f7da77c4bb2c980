"""The admin port of a process with an event loop: /healthz (it works), /readyz (it may be counted on), /metrics.

Everything is answered on that loop, where what is asked for may be looked at without locks. The sink has no loop, only
threads, and its own `sinks/admin.py` with the same three paths.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

# What is wrong; '' when nothing is.
Check = Callable[[], str]
_BODY_BYTES_MAX: Final = 2**20


def create_admin_app(
    registry: CollectorRegistry,
    refresh: Callable[[], None],
    *,
    healthy: Check,
    ready: Check,
    body_bytes_max: int = _BODY_BYTES_MAX,
) -> web.Application:
    """An application that others may add routes to. `refresh` brings the metrics up to date before they are read."""

    async def metrics(_request: web.Request) -> web.Response:
        refresh()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(client_max_size=body_bytes_max)
    app.router.add_get("/healthz", _answer(healthy, "ok"))
    app.router.add_get("/readyz", _answer(ready, "ready"))
    app.router.add_get("/metrics", metrics)
    return app


def _answer(check: Check, fine: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        problem = check()
        return web.Response(text=f"{problem or fine}\n", status=503 if problem else 200)

    return answer
