"""Lookups over small databases, and the functions behind them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from streams.events.enrich import enrich
from streams.events.lookups import CachedLookup, Lookups, robots, user_agents
from streams.events.lookups.addresses import Places, open_places
from streams.events.lookups.urls import parse_url
from tests.streams.events.oracle import Sources

WriteDatabase = Callable[..., str]
EnrichOne = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def write_database(tmp_path_factory: pytest.TempPathFactory) -> WriteDatabase:
    """Writes a database {network: record} and answers its path."""

    def write(records: dict[str, dict[str, Any]], ip_version: int = 6) -> str:
        path: Path = tmp_path_factory.mktemp("geo") / "test.mmdb"
        writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type="test")
        for network, record in records.items():
            writer.insert_network(IPSet([network]), record)
        writer.to_db_file(str(path))
        return str(path)

    return write


@pytest.fixture(scope="session")
def places(write_database: WriteDatabase) -> Places:
    """Two public resolvers have a place, all other public addresses none."""
    # A careless database that knows private networks: they are nowhere all the same.
    private = ("0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "192.168.0.0/16", "fc00::/7")
    careless = {network: {"country_code": "XX"} for network in private}
    country = write_database(
        {"8.8.8.0/24": {"country_code": "us"}, "2001:4860::/32": {"country_code": "CH"}, **careless}
    )
    city = write_database({"8.8.8.0/24": {"city": {"names": {"en": "Mountain View"}}}})
    return open_places(country, city, None)


@pytest.fixture(scope="session")
def sources(places: Places) -> Sources:
    return Sources(user_agents.parser(), robots.classifier(robots.builtin_signatures()), places, parse_url)


@pytest.fixture(scope="session")
def lookups(sources: Sources) -> Lookups:
    """Caches so small that generations turn within a chunk."""
    return Lookups(
        user_agents=CachedLookup("user_agents", sources.user_agent, 4, 1_000),
        robots=CachedLookup("robots", sources.robot, 4, 1_000),
        addresses=CachedLookup("addresses", sources.place, 4, 64),
        urls=CachedLookup("urls", sources.url, 4, 2_048),
    )


@pytest.fixture(scope="session")
def enrich_one(lookups: Lookups) -> EnrichOne:
    """Enriches one event; `context` and `properties` are given as objects."""

    def one(
        event_type: str = "track",
        ip_address: str = "",
        user_agent: str = "",
        context: Any = None,
        properties: Any = None,
        origin: str = "",
    ) -> dict[str, Any]:
        texts = {"context": json.dumps(context or {}), "properties": json.dumps(properties or {})}
        row = {"event_type": event_type, "ip_address": ip_address, "user_agent": user_agent, "origin": origin, **texts}
        (enriched,) = enrich(pl.DataFrame([row]), lookups).to_dicts()
        return enriched

    return one
