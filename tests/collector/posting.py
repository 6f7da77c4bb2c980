"""Requests to a collector in this process, by aiohttp's client."""

import base64
import json
from typing import Any

from aiohttp import ClientSession

from tests.collector.conftest import Served
from tests.collector.made import WRITE_KEY

BASIC = {"Authorization": "Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()}

EVENT = {"event": "E", "userId": "u", "groupId": "g", "previousId": "p"}


async def post(
    client: ClientSession, served: Served, path: str, body: Any, headers: dict[str, str] | None = BASIC
) -> tuple[int, Any, Any]:
    """Status, body as JSON, headers of a POST."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post(f"{served.url}{path}", data=data, headers=headers) as answer:
        return answer.status, await answer.json(), answer.headers
