"""The admin port that collector and streams share: what is wrong is said as text, and metrics are those of now."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from schemas.admin_app import create_admin_app


class Process:
    """What a process tells of itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reads = Counter("reads", "how often the metrics were read", registry=self.registry)
        self.unhealthy = ""
        self.unready = ""


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
async def client(process: Process) -> AsyncIterator[TestClient[Any, Any]]:
    app = create_admin_app(
        process.registry, process.reads.inc, healthy=lambda: process.unhealthy, ready=lambda: process.unready
    )
    async with TestClient(TestServer(app)) as connected:
        yield connected


async def told(client: TestClient[Any, Any], path: str) -> tuple[int, str]:
    async with client.get(path) as answer:
        return answer.status, await answer.text()


async def test_a_process_that_works_and_is_ready_says_so(client: TestClient[Any, Any]) -> None:
    assert await told(client, "/healthz") == (200, "ok\n")
    assert await told(client, "/readyz") == (200, "ready\n")


async def test_what_is_wrong_is_503_with_the_reason(process: Process, client: TestClient[Any, Any]) -> None:
    process.unready = "restoring tables"
    assert await told(client, "/healthz") == (200, "ok\n")
    assert await told(client, "/readyz") == (503, "restoring tables\n")
    process.unhealthy = "stuck"
    assert await told(client, "/healthz") == (503, "stuck\n")


async def test_metrics_are_brought_up_to_date_each_time_they_are_read(client: TestClient[Any, Any]) -> None:
    assert "reads_total 1.0" in (await told(client, "/metrics"))[1]
    assert "reads_total 2.0" in (await told(client, "/metrics"))[1]
