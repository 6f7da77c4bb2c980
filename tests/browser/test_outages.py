"""Kafka hangs while people browse: the collector answers 503, and the SDKs that send again lose nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.local.kafka import KafkaServer
from tests.browser.chromium import Visit
from tests.browser.pages import pasted
from tests.browser.shop import Shop
from tests.browser.site import Site
from tests.collector.running import Running


@pytest.fixture(scope="module")
def collecting(tmp_path_factory: pytest.TempPathFactory, module_kafka: KafkaServer) -> Iterator[Running]:
    """A collector that waits only briefly for Kafka."""
    home: Path = tmp_path_factory.mktemp("collector")
    running = Running(home, module_kafka.bootstrap, "outage_", collector_ack_wait_ms_max=500).prepare()
    with running.service:
        yield running


def outage(visit: Visit, own_kafka: KafkaServer) -> None:
    """While it lasts, the page sends an event and reads that it was not taken."""
    own_kafka.suspend()
    try:
        visit.run("() => { analytics.track('Order Completed', { price: 12.5 }) }")
        visit.wait_for_answers(1, status=503)
    finally:
        own_kafka.resume()


@pytest.mark.parametrize("title", ["Segment, npm", "RudderStack, npm"])
def test_an_event_met_by_an_outage_is_sent_again_and_counts_once(
    visit: Visit, site: Site, shop: Shop, own_kafka: KafkaServer, title: str
) -> None:
    site.pages["/"] = pasted(title, shop.url, shop.write_key)
    visit.open(site.url("/"))
    visit.wait_for_answers(1)
    outage(visit, own_kafka)
    visit.wait_for_answers(2)
    assert shop.event_names() == ["page", "track Order Completed"]
    assert {row["properties"] for row in shop.rows() if row["event_type"] == "track"} == {'{"price":12.5}'}


def test_jitsus_sdk_reads_the_answer_and_does_not_send_again(
    visit: Visit, site: Site, shop: Shop, own_kafka: KafkaServer
) -> None:
    site.pages["/"] = pasted("Jitsu, npm", shop.url, shop.write_key)
    visit.open(site.url("/"))
    visit.wait_for_answers(1)
    outage(visit, own_kafka)
    visit.page.clock.install()
    visit.page.clock.fast_forward("10:00")
    assert visit.statuses() == [200, 503]
    assert len(visit.posts()) == 2
