"""What a record becomes that cannot go on: its bytes, where it stood, and why. Pure."""

from collections.abc import Callable, Iterable
from typing import Any

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import Invalid
from schemas.dead_letters import Place, dead_letter
from schemas.registry import SchemaIds
from streams.runtime.operator import Outputs, Records
from streams.uuids import named_uuid


class DeadLetters:
    """The dead letters of one topic's records, as outputs. `now_ms()` becomes first_seen_at."""

    def __init__(self, topic: str, generation: int, ids: SchemaIds, now_ms: Callable[[], int]) -> None:
        self._topic = topic
        self._generation = generation
        self._codec = Codec("dead_letters", ids)
        self._now_ms = now_ms

    def add(self, outputs: Outputs, records: Records, bad: Invalid, project_id: str | None = None) -> None:
        """Add the dead letter of one of the records; `project_id` where the Kafka key names none."""
        record = self._record(records, bad, project_id)
        key = keys.of_dead_letter(record["tenant_id"], record["project_id"])
        outputs.add("dead_letters", [{"value": self._codec.encode(record), "key": key}])
        outputs.dead[bad.reason] = outputs.dead.get(bad.reason, 0) + 1

    def of(self, records: Records, bad: Iterable[Invalid], project_id: str | None = None) -> Outputs:
        """The dead letters of some of the records."""
        outputs = Outputs()
        for one in bad:
            self.add(outputs, records, one, project_id)
        return outputs

    def _record(self, records: Records, bad: Invalid, project_id: str | None) -> dict[str, Any]:
        """Its id is that of the place it stood in, so a repetition is the same row; or that of the dead letter it is a
        replay of: one that fails again, at another place then, stays the one it was.
        """
        key, value = records.keys[bad.index], records.values[bad.index]
        partition, offset = records.partitions[bad.index], records.offsets[bad.index]
        tenant_id, project_of_key = keys.owner_of(key)
        name = f"{self._generation}/{self._topic}/{partition}/{offset}"
        return dead_letter(
            records.replays.get((partition, offset)) or named_uuid(name),
            "streams",
            bad.reason,
            bad.detail,
            value or b"",
            owner=(tenant_id, project_of_key if project_id is None else project_id),
            first_seen_at=self._now_ms(),
            place=Place(self._topic, partition, offset, key),
        )
