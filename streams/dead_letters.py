"""What a record becomes that cannot go on: its bytes whole, where it stood, and why. Pure."""

from typing import Any, Final

from schemas import keys
from schemas.column_codec import Invalid
from streams.events.decode import Records
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
