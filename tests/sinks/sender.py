"""A Delivery into a table of the real ClickHouse, without Kafka."""

import time
from collections.abc import Callable
from threading import Event

from sinks.batching.batch import Batch
from sinks.batching.schema_texts import SchemaTexts
from sinks.clickhouse.http import Connection, Server, clickhouse_server
from sinks.clickhouse.writer import ClickHouseWriter
from sinks.routes import ROUTES, Route
from sinks.write.attempts import Way
from sinks.write.delivery import Delivery, Receipt
from sinks.write.healing import Healing
from tests.sinks.memory import MemoryDeadLetters, MemoryReport
from tests.sinks.records import codec
from tests.sinks.rig import SinkRig


class Sender:
    """A Delivery with what it told; `now` is the clock of its healing."""

    def __init__(
        self,
        rig: SinkRig,
        route: Route = ROUTES["enriched_events"],
        connect: Callable[[Server], Connection] = Connection,
    ) -> None:
        self.now = 0.0
        self.report = MemoryReport()
        self.dead_letters = MemoryDeadLetters()
        schemas = SchemaTexts(route.topic, codec(route.topic)._ids)
        assert schemas.verdict(codec(route.topic).schema_id) is None
        self.connection = connect(clickhouse_server(rig.settings))
        self.writer = ClickHouseWriter(self.connection, route, schemas)
        self.healing = Healing(self.writer, self.report, 1 << 24, 5.0, lambda: self.now)
        self.delivery = Delivery(
            Way(route, self.writer, self.dead_letters, self.healing),
            lambda values: [None] * len(values),
            0.01,
            1e9,
            time.monotonic,
            self.report,
        )

    def send(self, given: Batch) -> Receipt:
        return self.delivery.deliver(given, time.monotonic(), Event())

    def heal(self) -> None:
        """Time passes, and nothing comes."""
        self.now += 60.0
        self.delivery.idle()
