"""Events that cannot be admitted: what the dead letter of each says. Pure."""

import hashlib
from collections import Counter
from typing import Final

import msgspec

from collector.events.arrival import Arrival
from collector.events.event import Raw, Refused
from collector.projects.directory import Owner
from schemas.dead_letters import DETAIL_CHARS_MAX
from schemas.outcomes import DeadReason

MESSAGE_ID_CHARS_MAX: Final = 100


class RefusedEvent(msgspec.Struct, gc=False):
    """One event that goes to dead_letters, with its bytes, and what it came with (see `kept_arrival`)."""

    dead_letter_id: str
    reason: DeadReason
    detail: str
    payload: bytes
    client_message_id: str
    first_seen_at: int
    arrival: bytes


def refused_event(raw: Raw | bytes, arrival: Arrival, refusal: Refused, kept: bytes) -> RefusedEvent:
    """Without its id yet. kept: the event's `kept_arrival`."""
    payload = bytes(raw)
    return RefusedEvent(
        "",
        refusal.reason,
        refusal.detail[:DETAIL_CHARS_MAX],
        payload,
        _client_message_id(payload),
        arrival.received_at,
        kept,
    )


def assign_dead_letter_ids(refused: list[RefusedEvent], owner: Owner) -> None:
    """Ids that follow from bytes and reason: a client's retry, or a replay, makes the same dead letter again."""
    seen: Counter[str] = Counter()
    for event in refused:
        what = f"{event.reason}/{hashlib.sha256(event.payload).hexdigest()}"
        event.dead_letter_id = owner.message_ids(f"{what}/{seen[what]}")
        seen[what] += 1


class _MessageId(msgspec.Struct, gc=False, rename="camel"):
    message_id: str | int | None = None


_decode_message_id: Final = msgspec.json.Decoder(_MessageId).decode


def _client_message_id(payload: bytes) -> str:
    """The messageId of a refused event if it can be found, to look it up by."""
    try:
        sent = _decode_message_id(payload).message_id
    except (ValueError, RecursionError):
        return ""
    found = "" if sent is None else str(sent)
    return found if len(found) <= MESSAGE_ID_CHARS_MAX else ""
