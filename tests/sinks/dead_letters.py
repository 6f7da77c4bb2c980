"""Dead letters as their table has them, and tables in memory to put them into."""

import time
from typing import Any

from schemas.registry import open_ids
from sinks.batching.schema_texts import SchemaTexts
from sinks.replay.reinsert import Patience, Refusals, Target
from sinks.routes import ROUTES
from sinks.write.attempts import Way
from sinks.write.delivery import Delivery
from sinks.write.healing import Healing
from tests.sinks.memory import MemoryWriter
from tests.sinks.records import framed

TOPIC = "prefix_enriched_events"


def dead_letter(offset: int, raw: int, stage: str = "sinks", topic: str = TOPIC, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "dead_letter_id": f"id-{offset}",
        "project_id": "project",
        "stage": stage,
        "payload": framed(raw),
        "source_topic": topic,
        "source_partition": 0,
        "source_offset": offset,
        "source_key": "key",
    }
    return made | fields


class Targets:
    """Tables in memory, with all that was opened."""

    def __init__(self, writer: MemoryWriter) -> None:
        self.writer = writer
        self.patience = Patience()

    def __call__(self, topic: str) -> Target | None:
        route = ROUTES.get(topic.removeprefix("prefix_"))
        if route is None:
            return None
        refusals = Refusals()
        healing = Healing(self.writer, self.patience, 1 << 20, 5.0, time.monotonic)
        delivery = Delivery(
            Way(route, self.writer, refusals, healing), lambda _values: [1], 0.001, 60, time.monotonic, self.patience
        )
        return Target(route, SchemaTexts(route.topic, open_ids(None)).verdict, delivery, refusals, self.patience)
