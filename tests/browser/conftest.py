"""Chromium, a web site, and a collector at another origin than the site's."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from playwright.sync_api import Browser

from docker.local.kafka import KafkaServer
from docker.local.packages import fetch
from tests.browser.chromium import Visit, chromium
from tests.browser.pages import SDK_FILES
from tests.browser.shop import Shop
from tests.browser.site import Site
from tests.collector.running import Running

OpenShop = Callable[[Sequence[str]], Shop]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A visitor nobody has seen before; whatever the page does, it turns to nobody but this machine."""
    context = browser.new_context()
    started = Visit(context.new_page())
    yield started
    print(started.account())  # shown beside a failure, and only there
    context.close()
    assert started.elsewhere() == []


@pytest.fixture
def site() -> Iterator[Site]:
    """A web site that has the SDKs' files and no page yet."""
    modules = [fetch(name) / "node_modules" for name in ("browser-sdks", "page-sdks")]
    with Site(modules, SDK_FILES) as started:
        yield started


@pytest.fixture(scope="module")
def collecting(tmp_path_factory: pytest.TempPathFactory, kafka_server: KafkaServer) -> Iterator[Running]:
    """A collector as a process, with topics of its own."""
    home = tmp_path_factory.mktemp("collector")
    scripts = str(fetch("browser-sdks") / "node_modules")
    prefix = f"{home.name}_{home.parent.name}_"
    running = Running(
        home,
        kafka_server.bootstrap,
        prefix,
        collector_browser_sdks_path=scripts,
        collector_handshake_secret="invented handshake secret",
    ).prepare()
    with running.service:
        yield running


@pytest.fixture
def shop(collecting: Running) -> Shop:
    """A project that takes events from every page."""
    return Shop(collecting)
