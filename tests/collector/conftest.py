"""The collector's application on a free port, with a publisher in memory."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from random import getrandbits
from typing import Any

import pytest
import uvloop
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from collector.events.event_ids import EventIds
from collector.http.app import Collector
from collector.http.browser_sdks import BrowserSdks
from collector.http.connection import Server
from collector.http.counts import Counts
from collector.http.public_url import PublicUrls
from collector.http.resources import Resources
from collector.http.trusted_proxies import TrustedProxies
from collector.ingest import Ingest
from collector.projects.directory import ProjectDirectory
from collector.whatsapp.apps import Apps
from docker.local.kafka import KafkaServer
from schemas.metrics import CollectorMetrics
from schemas.settings import Settings
from tests.collector.made import RECEIVED_AT, MemoryPublisher, directory_of, encoders
from tests.collector.running import Running


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the process runs on: its transports are not asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


class Served:
    """A collector that answers at `url`; `publisher` keeps what it stores."""

    def __init__(self, settings: Settings, directory: ProjectDirectory) -> None:
        self.registry = CollectorRegistry()
        self.publisher = MemoryPublisher()
        self.directory = directory
        self.counts = Counts(CollectorMetrics(self.registry))
        self.ingest = Ingest(
            settings,
            directory=directory,
            publisher=self.publisher,
            encoders=encoders(),
            ids=EventIds(getrandbits),
            clock=lambda: RECEIVED_AT / 1000,
        )
        proxies = TrustedProxies(settings.collector_trusted_proxies, settings.collector_address_headers)
        public_urls = PublicUrls(settings.collector_public_url, proxies)
        self.collector = Collector(
            settings,
            directory=directory,
            ingest=self.ingest,
            counts=self.counts,
            resources=Resources(directory, public_urls, BrowserSdks(settings.collector_browser_sdks_path)),
            proxies=proxies,
            apps=Apps(settings.collector_whatsapp_apps_path),
        )
        self.collector.is_loaded = True
        self.server = Server(self.collector, settings)
        self.port = 0
        self.clients: list[asyncio.StreamWriter] = []  # closed at the end

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of a sample."""
        self.counts.flush()
        return self.registry.get_sample_value(name, labels)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts collectors: `await serve(directory, **settings)`."""
    started: list[tuple[asyncio.Server, Served]] = []

    async def start(directory: ProjectDirectory | None = None, **settings: Any) -> Served:
        served = Served(Settings.model_validate(settings), directory_of() if directory is None else directory)
        listening = await asyncio.get_running_loop().create_server(served.server, "127.0.0.1", 0)
        served.port = listening.sockets[0].getsockname()[1]
        started.append((listening, served))
        return served

    yield start
    for listening, served in started:
        listening.close()
        served.server.close_idle()
        await served.server.shutdown(1.0)
        for client in served.clients:
            client.transport.abort()


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    """An HTTP client that sets no header by itself but the unavoidable."""
    async with ClientSession(skip_auto_headers=["User-Agent", "Content-Type", "Accept-Encoding"]) as session:
        yield session


@pytest.fixture(scope="module")
def module_collector(kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process for a module's tests, with topics of its own; it ends with 0, whatever they sent."""
    home = tmp_path_factory.mktemp("collector")
    collector = Running(home, kafka_server.bootstrap, f"m{uuid.uuid4().hex[:8]}_").prepare()
    with collector.service:
        yield collector
        assert collector.service.terminate() == 0


@pytest.fixture
def running(module_collector: Running) -> Iterator[Running]:
    """The module's collector with a fresh project; the same process runs after the test."""
    module_collector.service.start()  # again, if a test before has failed to leave it running
    pid = module_collector.service.pid
    module_collector.add_project()
    module_collector.wait_until_known()
    yield module_collector
    assert module_collector.service.pid == pid, module_collector.service.log_tail()


@pytest.fixture
def own_collector(tmp_path: Path, kafka_server: KafkaServer, topic_prefix: str) -> Iterator[Running]:
    """A process that the test may end, and whose metrics count nothing but what the test sends."""
    collector = Running(tmp_path / "collector", kafka_server.bootstrap, topic_prefix).prepare()
    with collector.service:
        yield collector
