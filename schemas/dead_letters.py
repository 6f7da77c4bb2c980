"""What a replay says to those who may refuse the record again: whose dead letter it is."""

from collections.abc import Iterable
from typing import Final

from schemas.message_ids import canonical_uuid

REPLAY_HEADER: Final = "tally-dead-letter-id"


def replay_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The id of the dead letter that a record is the replay of, by its Kafka headers; None for any other."""
    for name, value in headers:
        if name == REPLAY_HEADER and value is not None:
            return canonical_uuid(value.decode("ascii", "replace"))
    return None
