"""The settings that analytics.js loads: they send its events back to where the page found the collector."""

from typing import Any

import pytest
from aiohttp import ClientSession

from tests.collector.conftest import Serve, Served
from tests.collector.made import WRITE_KEY

PATH = f"/v1/projects/{WRITE_KEY}/settings"
PROXIED = {"collector_trusted_proxies": "127.0.0.0/8"}


async def settings(client: ClientSession, served: Served, **headers: str) -> tuple[str, str]:
    """(protocol, apiHost) of the settings."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.get(f"{served.url}{PATH}", headers=sent) as answer:
        assert answer.status == 200
        segment = (await answer.json())["integrations"]["Segment.io"]
        return segment["protocol"], segment["apiHost"]


async def test_events_go_back_by_the_scheme_and_to_the_host_of_the_request(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    assert await settings(client, served) == ("http", f"127.0.0.1:{served.port}/v1")
    assert await settings(client, served, Host="t.shop.example") == ("http", "t.shop.example/v1")


async def test_what_a_trusted_proxy_says_counts(client: ClientSession, serve: Serve) -> None:
    said = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "t.shop.example", "Host": "inner:8080"}
    assert await settings(client, await serve(**PROXIED), **said) == ("https", "t.shop.example/v1")
    assert await settings(client, await serve(), **said) == ("http", "inner:8080/v1")


@pytest.mark.parametrize("header", ["Origin", "Referer"])
async def test_a_page_that_came_by_https_is_sent_by_https(client: ClientSession, serve: Serve, header: str) -> None:
    """TLS may end at a proxy that says nothing; browsers let such a page call nothing but https."""
    served = await serve()
    said = {header: "https://shop.example/"}
    assert await settings(client, served, Host="t.shop.example", **said) == ("https", "t.shop.example/v1")
    assert (await settings(client, served, Host="localhost:8080", **said))[0] == "http"
    assert (await settings(client, served, Host="t.shop.example", **{header: "http://shop.example/"}))[0] == "http"


async def test_the_operators_word_counts_most(client: ClientSession, serve: Serve) -> None:
    served = await serve(collector_public_url="https://shop.example/events/", **PROXIED)
    said = {"X_Forwarded_Proto": "http", "X_Forwarded_Host": "other.example"}
    assert await settings(client, served, **said) == ("https", "shop.example/events/v1")


async def test_analytics_js_is_told_not_to_report_to_its_vendor(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    async with client.get(f"{served.url}{PATH}") as answer:
        assert (await answer.json())["metrics"]["sampleRate"] == 0


@pytest.mark.parametrize("host", ["", 'evil"<script>', "a b", "evil/path", "user@evil", "x" * 5_000])
async def test_no_settings_without_a_host_to_send_to(client: ClientSession, serve: Serve, host: str) -> None:
    """Without apiHost analytics.js would send the events to its vendor."""
    served = await serve()
    async with client.get(f"{served.url}{PATH}", headers={"Host": host}) as answer:
        body: dict[str, Any] = await answer.json()
        assert (answer.status, body["code"]) == (400, "invalid_request")


async def test_only_the_browser_that_asked_keeps_them(client: ClientSession, serve: Serve) -> None:
    """They name the host of the request: a shared cache would give one visitor's words to others."""
    served = await serve()
    async with client.get(f"{served.url}{PATH}") as answer:
        assert "private" in answer.headers["Cache-Control"]
        assert "public" not in answer.headers["Cache-Control"]
