"""The stock Faust application as a process, measured the way the worker is."""

import json
import sys
import time

from docker.local import PROJECT_ROOT
from docker.local.process import ServerProcess, free_port
from schemas.codec import Codec
from schemas.registry import open_ids
from tests.bench.broker import Broker, wait_until
from tests.bench.lines import require, require_equal
from tests.bench.loads import Load
from tests.bench.machine import Cost, Meter, on_cores
from tests.bench.workbench import Workbench
from tests.bench.worker import Measured

_TIMEOUT_S = 300.0
_BEHIND_S = 1.0


class StockFaust(ServerProcess):
    """`python -m tests.bench.stock_faust` on topics of its own."""

    def __init__(self, bench: Workbench, name: str, emit_events: int) -> None:
        super().__init__(name, bench.home / name)
        self.settings = bench.settings(name)
        bench.create_topics(self.settings)
        self.broker = Broker(self.settings)
        self._cores = bench.cores
        self._emit_events = emit_events
        self._web_port = free_port()
        self._expected = Load([], [], [])

    def command(self) -> list[str]:
        settings = self.settings
        order = {
            "bootstrap": settings.kafka_bootstrap,
            "prefix": settings.topic_prefix,
            "partitions": settings.partitions,
            "web_port": self._web_port,
            "data": str(self.home / "data"),
            "country_path": settings.streams_geo_country_path,
            "city_path": settings.streams_geo_city_path,
            "emit_s": settings.streams_epoch_ms_max / 1000,
            "emit_events": self._emit_events,
            "behind_s": _BEHIND_S,
        }
        run = [sys.executable, "-m", "tests.bench.stock_faust", json.dumps(order)]
        return ["env", f"PYTHONPATH={PROJECT_ROOT}", *on_cores(self._cores.own), *run]

    def is_ready(self) -> bool:
        return True  # whether it works shows in the warm-up

    def measure_backlog(self, load: Load) -> Measured:
        """Feed a load while it is suspended, and let it get old enough to be a backlog to the agent, whose session rows
        come at the load's end when that has `emit_events` records; done when these and the enriched events are there.

        Its commit, and part of its changelog, may come later: that is not held against it.
        """
        rows = self._rows()
        self.suspend()
        try:
            self.broker.produce(self._topic("raw_events"), load.records)
            time.sleep(_BEHIND_S * 1.2)
            meter = self._meter()
        finally:
            self.resume()
        self._wait_enriched(load)
        self._wait("sessions", rows + len(load.keys))
        return self._measured(load, meter, rows)

    def measure_paced(self, load: Load, per_s: float) -> Measured:
        """Feed a load at this rate; done when the last enriched event is there. The last session rows, too, may come
        later.
        """
        rows = self._rows()
        meter = self._meter()
        self.broker.pace(self._topic("raw_events"), load.records, per_s)
        self._wait_enriched(load)
        return self._measured(load, meter, rows)

    def verify(self) -> None:
        """Every distinct event that it was fed came out once, and every claim. Raises WrongOutputError."""
        expected = self._expected
        codec = Codec("enriched_events", open_ids(None))
        messages = self.broker.read(self._topic("enriched_events"))
        found = [codec.decode(message.value() or b"")["event_id"] for message in messages]
        require_equal("stock Faust's enriched events", len(found), len(expected.event_ids))
        require(set(found) == expected.event_ids, "stock Faust's enriched events are not those that were sent")
        require_equal("stock Faust's claims", self.broker.count(self._topic("identity_claims")), expected.claims)

    def _topic(self, name: str) -> str:
        return self.settings.topic(name)

    def _rows(self) -> int:
        return self.broker.count(self._topic("sessions"))

    def _meter(self) -> Meter:
        assert self.pid is not None
        return Meter(self.pid)

    def _measured(self, load: Load, meter: Meter, rows: int) -> Measured:
        cost = Cost(len(load), meter.wall_s(), meter.cpu_s(), meter.others_cpu())
        return Measured(cost, self._rows() - rows, len(load.event_ids))  # a changelog record for each event

    def _wait_enriched(self, load: Load) -> None:
        self._expected += load.without_records()
        self._wait("enriched_events", len(self._expected.event_ids))

    def _wait(self, topic: str, count: int) -> None:
        def is_there() -> bool:
            if not self.running:
                raise RuntimeError(f"stock Faust has ended:\n{self.log_tail()}")
            return self.broker.count(self._topic(topic)) >= count

        wait_until(is_there, f"stock Faust to write {count:,} records to {topic}", _TIMEOUT_S)
