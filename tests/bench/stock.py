"""The stock Faust application as a process, measured the way the worker is."""

import json
import sys

from docker.local import PROJECT_ROOT
from docker.local.process import ServerProcess, free_port
from schemas.codec import Codec
from schemas.registry import open_ids
from tests.bench.broker import Broker, wait_until
from tests.bench.lines import require_equal
from tests.bench.loads import Load
from tests.bench.machine import Cost, Meter, on_cores
from tests.bench.workbench import Workbench

_TIMEOUT_S = 300.0


class StockFaust(ServerProcess):
    """`python -m tests.bench.stock_faust` on topics of its own."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__("stock", bench.home / "stock")
        self._cores = bench.cores
        self._settings = bench.settings("stock")
        bench.create_topics(self._settings)
        self._broker = Broker(self._settings)
        self._web_port = free_port()

    def command(self) -> list[str]:
        settings = self._settings
        order = {
            "bootstrap": settings.kafka_bootstrap,
            "prefix": settings.topic_prefix,
            "partitions": settings.partitions,
            "web_port": self._web_port,
            "data": str(self.home / "data"),
            "country_path": settings.streams_geo_country_path,
            "city_path": settings.streams_geo_city_path,
        }
        run = [sys.executable, "-m", "tests.bench.stock_faust", json.dumps(order)]
        return ["env", f"PYTHONPATH={PROJECT_ROOT}", *on_cores(self._cores.own), *run]

    def is_ready(self) -> bool:
        return True  # whether it works shows in the warm-up

    def measure(self, warm_up: Load, load: Load) -> Cost:
        """Feed the warm-up, then the load while it is suspended; done when the last enriched event is there.

        Its commit, and part of its changelog, may come later: that is not held against it.
        """
        raw_events, enriched = (self._settings.topic(name) for name in ("raw_events", "enriched_events"))
        self._broker.produce(raw_events, warm_up.records)
        self._wait(enriched, len(warm_up.event_ids))
        self.suspend()
        try:
            self._broker.produce(raw_events, load.records)
            assert self.pid is not None
            meter = Meter(self.pid)
        finally:
            self.resume()
        expected = warm_up.event_ids | load.event_ids
        self._wait(enriched, len(expected))
        cost = Cost(len(load), meter.wall_s(), meter.cpu_s())
        codec = Codec("enriched_events", open_ids(None))
        found = [codec.decode(message.value() or b"")["event_id"] for message in self._broker.read(enriched)]
        require_equal("stock Faust's enriched events", (len(found), set(found) == expected), (len(expected), True))
        return cost

    def sessions(self) -> int:
        """The session rows it has written."""
        return self._broker.count(self._settings.topic("sessions"))

    def _wait(self, topic: str, count: int) -> None:
        def is_there() -> bool:
            if not self.running:
                raise RuntimeError(f"stock Faust has ended:\n{self.log_tail()}")
            return self._broker.count(topic) >= count

        wait_until(is_there, f"stock Faust to write {count:,} records to {topic}", _TIMEOUT_S)
