"""`python -m tests.bench.bare_handler PORT`: an aiohttp server that reads the body and answers."""

import asyncio
import sys

import uvloop
from aiohttp import web

HOST = "127.0.0.1"


async def answer(request: web.Request) -> web.Response:
    """Read the body, look at nothing."""
    await request.read()
    return web.Response(body=b'{"success":true}', content_type="application/json")


async def serve(port: int) -> None:
    """Answer every POST until the process ends."""
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
