"""Dead letters of the collector, taken again: as they came then, though they come from somewhere else now. Pure."""

from typing import Final

import msgspec

from collector.events.admit import Admission, Limits, admit, refuse_batch
from collector.events.arrival import Arrival, KeptArrival
from collector.events.event_ids import EventIds
from collector.events.parse import Batch, MalformedError, is_utf8, parse_batch
from collector.projects.directory import Project
from schemas.outcomes import DeadReason

DEAD_LETTERS_MAX: Final = 1_000  # of one call
_decode_arrival: Final = msgspec.json.Decoder(KeptArrival).decode


class DeadLetter(msgspec.Struct, gc=False, rename="camel"):
    """A dead letter to be taken again. arrival: its column, "" for one of before there was such; payload: base64."""

    dead_letter_id: str
    write_key: str
    reason: str
    payload: bytes
    arrival: str
    first_seen_at: int


def readmit(dead_letter: DeadLetter, project: Project, limits: Limits, ids: EventIds) -> tuple[Admission, str]:
    """Judge the event again, with the times, address and agent it came with; and why it stays a dead letter, "" if not.

    An admitted one says in its context whose replay it is. Of a batch that was too long the whole body was kept: each
    of its events is judged for itself now.
    """
    kept = dead_letter.arrival.encode()
    came = _decode_arrival(kept) if kept else KeptArrival(dead_letter.first_seen_at)
    arrival = Arrival(
        project,
        came.received_at,
        came.ip,
        came.user_agent,
        came.type,
        came.ip_policy,
        came.is_import,
        dead_letter.dead_letter_id,
        # Without a messageId, an event that is sent through again must be the same event as the last time.
        dead_letter.dead_letter_id,
    )
    if dead_letter.reason == DeadReason.BATCH_TOO_LONG:
        return _readmit_batch(dead_letter, arrival, limits, ids)
    context = bytes(came.context)
    batch = Batch(
        [dead_letter.payload],
        is_utf8(dead_letter.payload),
        came.sent_at,
        came.unread_sent_at,
        b"" if context == b"{}" else context,
    )
    admission = admit(batch, arrival, limits, ids)
    return admission, str(admission.refused[0].reason) if admission.refused else ""


def _readmit_batch(dead_letter: DeadLetter, arrival: Arrival, limits: Limits, ids: EventIds) -> tuple[Admission, str]:
    try:
        batch = parse_batch(dead_letter.payload, is_key_known=True)
        if len(batch.events) > limits.batch_events_max:
            return refuse_batch(batch, dead_letter.payload, arrival, limits), str(DeadReason.BATCH_TOO_LONG)
    except MalformedError as error:
        return Admission([], []), str(error)
    admission = Admission([], [])
    for position, raw in enumerate(batch.events):
        arrival.message_id = arrival.project.message_ids(f"{dead_letter.dead_letter_id}/{position}")
        one = Batch([raw], batch.is_utf8, batch.sent_at, batch.unread_sent_at, batch.context)
        judged = admit(one, arrival, limits, ids)
        admission.admitted += judged.admitted
        admission.refused += judged.refused
    return admission, ""
