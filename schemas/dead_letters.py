"""The record of a dead letter, as every stage makes it, and what a replay says to those who may refuse it again. Pure.

A dead letter always fits into a message: what nobody bounds is cut here, and says so.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

from schemas.message_ids import canonical_uuid
from schemas.settings import MESSAGE_BYTES_MAX

Stage = Literal["collector", "streams", "sinks"]

REPLAY_HEADER: Final = "tally-dead-letter-id"
DETAIL_CHARS_MAX: Final = 500
ID_CHARS_MAX: Final = 1_000
"""Of tenant_id, project_id and client_message_id, each."""
BYTES_MAX: Final = MESSAGE_BYTES_MAX - 64 * 1024
"""Of payload and source_key together. The rest is for the other fields at their longest in UTF-8, and for Kafka."""


class Place(NamedTuple):
    """Where the record stood: the broker's topic name, partition, offset, and its key."""

    topic: str
    partition: int
    offset: int
    key: bytes | None


NOWHERE: Final = Place("", -1, -1, None)
"""Of an event that was refused over HTTP."""


def dead_letter(
    dead_letter_id: str,
    stage: Stage,
    reason: str,
    detail: str,
    payload: bytes,
    *,
    owner: tuple[str, str],
    first_seen_at: int,
    place: Place = NOWHERE,
    client_message_id: str = "",
    arrival: str = "",
) -> dict[str, Any]:
    """The record of `dead_letters.avsc`; owner: tenant and project, '' where unknown. first_seen_at: ms since 1970.

    A payload that no message could hold is cut, and the detail then begins with its size and hash. A key is kept whole
    or not at all: under a part of it a replay would belong to somebody else.
    """
    if len(payload) > BYTES_MAX:
        digest = hashlib.sha256(payload).hexdigest()
        cut = f"payload cut from {len(payload)} to {BYTES_MAX} bytes, sha256 of the whole {digest}"
        payload, detail = payload[:BYTES_MAX], f"{cut}; {detail}"
    source_key = (place.key or b"").decode("utf-8", "replace")
    if len(payload) + len(source_key.encode()) > BYTES_MAX:
        source_key = ""
    return {
        "dead_letter_id": dead_letter_id,
        "tenant_id": owner[0][:ID_CHARS_MAX],
        "project_id": owner[1][:ID_CHARS_MAX],
        "stage": stage,
        "reason": str(reason),
        "detail": detail[:DETAIL_CHARS_MAX],
        "payload": payload,
        "client_message_id": client_message_id[:ID_CHARS_MAX],
        "source_topic": place.topic,
        "source_partition": place.partition,
        "source_offset": place.offset,
        "first_seen_at": first_seen_at,
        "source_key": source_key,
        "arrival": arrival,
    }


def replay_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The id of the dead letter that a record is the replay of, by its Kafka headers; None for any other."""
    for name, value in headers:
        if name == REPLAY_HEADER and value is not None:
            return canonical_uuid(value.decode("ascii", "replace"))
    return None
