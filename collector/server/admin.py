"""The admin port: /healthz /readyz /metrics, and /replay, which takes dead letters again."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry

from collector.events.readmit import DEAD_LETTERS_MAX, DeadLetter
from collector.kafka.publisher import OverloadedError
from schemas.admin_app import create_admin_app

# Dead letters are at most 2 MiB in Kafka; base64 makes them a third longer.
_BODY_BYTES_MAX: Final = 64 * 2**20
_decode_dead_letters: Final = msgspec.json.Decoder(list[DeadLetter]).decode

Replay = Callable[[Sequence[DeadLetter]], tuple["asyncio.Future[bool] | None", list[str]]]


def create_admin(
    registry: CollectorRegistry,
    refresh: Callable[[], None],
    why_not_ready: Callable[[], str],
    replay_dead_letters: Replay,
) -> web.Application:
    """`refresh` brings the metrics up to date; `why_not_ready` is '' when requests may come."""

    async def replay(request: web.Request) -> web.Response:
        """A JSON list of `DeadLetter`; the answer is a list of outcomes, "" for what Kafka has acknowledged."""
        if reason := why_not_ready():
            return web.Response(text=f"{reason}\n", status=503)
        try:
            dead_letters = _decode_dead_letters(await request.read())
        except (msgspec.MsgspecError, ValueError) as error:
            return web.Response(text=f"not a list of dead letters: {error}\n", status=400)
        if len(dead_letters) > DEAD_LETTERS_MAX:
            return web.Response(text=f"{len(dead_letters)} dead letters, at most {DEAD_LETTERS_MAX}\n", status=400)
        try:
            durable, outcomes = replay_dead_letters(dead_letters)
        except OverloadedError:
            return web.Response(text="overloaded, try again\n", status=503)
        if durable is not None and not await durable:
            return web.Response(text="not acknowledged by Kafka, try again\n", status=503)
        return web.json_response(outcomes)

    # While it answers at all, it works: whatever makes it useless ends the process.
    admin = create_admin_app(registry, refresh, healthy=lambda: "", ready=why_not_ready, body_bytes_max=_BODY_BYTES_MAX)
    admin.router.add_post("/replay", replay)
    return admin
