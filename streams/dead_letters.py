"""What a record becomes that cannot go on: its bytes whole, where it stood, and why. Pure."""

from collections.abc import Callable
from typing import Any, Final

from schemas import keys
from schemas.codec import Codec
from schemas.column_codec import Invalid
from schemas.outcomes import DeadReason
from schemas.registry import SchemaIds
from streams.runtime.operator import Outputs, Records
from streams.uuids import named_uuid

_DETAIL_CHARS: Final = 500


def dead_letter(records: Records, bad: Invalid, topic: str, generation: int, now_ms: int) -> dict[str, Any]:
    """The record of `dead_letters`.

    Its id is that of the place it stood in, so a repetition is the same row; or that of the dead letter it is a replay
    of: one that fails again, at another place then, stays the one it was.
    """
    tenant_id, project_id = keys.owner_of(records.keys[bad.index])
    partition, offset = records.partitions[bad.index], records.offsets[bad.index]
    return {
        "dead_letter_id": records.replays.get((partition, offset))
        or named_uuid(f"{generation}/{topic}/{partition}/{offset}"),
        "tenant_id": tenant_id,
        "project_id": project_id,
        "stage": "streams",
        "reason": bad.reason.value,
        "detail": bad.detail[:_DETAIL_CHARS],
        "payload": records.values[bad.index] or b"",
        "client_message_id": "",
        "source_topic": topic,
        "source_partition": partition,
        "source_offset": offset,
        "first_seen_at": now_ms,
        "source_key": (records.keys[bad.index] or b"").decode("utf-8", "replace"),
    }


class DeadLetters:
    """The dead letters of one topic's records, as outputs. `now_ms()` becomes first_seen_at."""

    def __init__(self, topic: str, generation: int, ids: SchemaIds, now_ms: Callable[[], int]) -> None:
        self._topic = topic
        self._generation = generation
        self._codec = Codec("dead_letters", ids)
        self._now_ms = now_ms

    def add(self, outputs: Outputs, records: Records, bad: Invalid, project_id: str | None = None) -> None:
        """Add the dead letter of one of the records; `project_id` where the Kafka key names none."""
        row = dead_letter(records, bad, self._topic, self._generation, self._now_ms())
        if project_id is not None:
            row["project_id"] = project_id
        key = keys.of_dead_letter(row["tenant_id"], row["project_id"])
        outputs.add("dead_letters", [{"value": self._codec.encode(row), "key": key}])
        outputs.dead[bad.reason] = outputs.dead.get(bad.reason, 0) + 1

    def of_failed_step(self, records: Records, detail: str, project_id: str | None = None) -> Outputs:
        """Dead letters for all the records, on which a step failed."""
        outputs = Outputs()
        for index in range(len(records)):
            self.add(outputs, records, Invalid(index, DeadReason.STEP_FAILED, detail), project_id)
        return outputs
