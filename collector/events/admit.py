"""Which events of a request become raw events, and which are refused and why. Pure: clock and ids are given.

Every event is judged alone: nothing in one can harm its neighbours.
"""

from typing import Final, NamedTuple

import msgspec

from collector.events.arrival import CONTEXTS_BYTES_MAX, Arrival, kept_arrival
from collector.events.context import merge_objects, read_context, require_object, with_group, with_notes
from collector.events.event import Event, Raw, Refused, read_event
from collector.events.event_ids import EventIds
from collector.events.parse import Batch, MalformedError, is_utf8
from collector.events.properties import name_and_category, properties_of
from collector.events.refuse import MESSAGE_ID_CHARS_MAX, RefusedEvent, assign_dead_letter_ids, refused_event
from collector.events.salvage import is_json_but_for_numbers
from collector.events.session_key import client_session_id
from collector.events.times import Bounds
from collector.events.timestamps import timestamp_of
from collector.events.visitor_address import address_of
from collector.projects.directory import Project
from schemas.outcomes import DeadReason

EVENT_TYPES: Final = frozenset({"track", "identify", "page", "screen", "group", "alias"})
_NAMED: Final = frozenset({"page", "screen"})
# The bytes of the smallest event there could be; a body with more elements than that holds something else.
_EVENT_BYTES_MIN: Final = len(b'{"type":"page","userId":"1"},')


class Limits(NamedTuple):
    """What bounds an event and a batch. way_ms_max: see `times.corrected`."""

    event_bytes_max: int
    batch_events_max: int
    times: Bounds
    import_times: Bounds
    way_ms_max: int


class RawEvent(msgspec.Struct, gc=False):
    """One admitted event: the fields of raw_events.avsc in its order; JSON as the bytes that stood there."""

    event_id: str
    message_id: str
    client_message_id: str
    tenant_id: str
    project_id: str
    event_type: str
    event_name: str
    timestamp: int
    received_at: int
    anonymous_id: str
    user_id: str | None
    client_session_id: str | None
    group_id: str | None
    previous_id: str | None
    ip_address: str
    user_agent: str
    properties: bytes
    context: bytes
    origin: str = ""


class Admission(msgspec.Struct, gc=False):
    """What became of a request's events; together as many as it had."""

    admitted: list[RawEvent]
    refused: list[RefusedEvent]


def admit(batch: Batch, arrival: Arrival, limits: Limits, ids: EventIds) -> Admission:
    """Judge every event. Raises MalformedError when a body is nothing like an event, or a batch like one of events.

    A single event that is JSON but for its NaN and Infinity, as some languages write it, is refused with its bytes as
    it is within a batch.
    """
    count = len(batch.events)
    if len(batch.context) > limits.event_bytes_max or len(batch.context) * count > CONTEXTS_BYTES_MAX:
        detail = f"the batch's context has {len(batch.context)} bytes and stands beneath {count} events"
        refusal = Refused(DeadReason.EVENT_TOO_LARGE, detail)
        kept = kept_arrival(batch, arrival)
        return _refusals([refused_event(raw, arrival, refusal, kept) for raw in batch.events], arrival.project)
    admitted: list[RawEvent] = []
    refused: list[RefusedEvent] = []
    kept = b""
    if arrival.is_import:
        limits = limits._replace(times=limits.import_times)
    for raw, event_id in zip(batch.events, ids.take(arrival.received_at, count), strict=True):
        try:
            admitted.append(_admit_event(raw, event_id, batch, arrival, limits))
        except Refused as refusal:
            if (
                batch.is_single
                and refusal.reason is DeadReason.EVENT_NOT_JSON
                and not is_json_but_for_numbers(bytes(raw))
            ):
                raise MalformedError(f"malformed JSON: {refusal.detail}") from None
            kept = kept or kept_arrival(batch, arrival)
            refused.append(refused_event(raw, arrival, refusal, kept))
    if refused:
        assign_dead_letter_ids(refused, arrival.project)
    return Admission(admitted, refused)


def _admit_event(raw: Raw | bytes, event_id: str, batch: Batch, arrival: Arrival, limits: Limits) -> RawEvent:
    if len(raw) > limits.event_bytes_max:
        raise Refused(DeadReason.EVENT_TOO_LARGE, f"{len(raw)} bytes, at most {limits.event_bytes_max}")
    event, repaired = read_event(raw)
    if not batch.is_utf8 and not is_utf8(bytes(raw)):
        raise Refused(DeadReason.INVALID_UTF8, "the event is not UTF-8")
    project = arrival.project
    received_at = arrival.received_at
    event_type = arrival.event_type or event.type
    if event_type not in EVENT_TYPES:
        raise Refused(DeadReason.TYPE_UNKNOWN, f"type is one of {', '.join(sorted(EVENT_TYPES))}")
    anonymous_id = event.anonymous_id or ""
    user_id = event.user_id or None
    if not anonymous_id and user_id is None:
        raise Refused(DeadReason.NO_USER_ANON_ID, "neither userId nor anonymousId")
    if event_type == "track":
        name, group_id, previous_id = event.event or "", None, None
        if not name:
            raise Refused(DeadReason.EVENT_NOT_STRING, "a track call names its event in the member 'event', as text")
    else:
        group_id, previous_id = _other_members(event, event_type)
        name = ""
    client_message_id = event.message_id or ""
    if len(client_message_id) > MESSAGE_ID_CHARS_MAX:
        detail = f"messageId has {len(client_message_id)} characters, at most {MESSAGE_ID_CHARS_MAX}"
        raise Refused(DeadReason.FIELD_TOO_LONG, detail)
    context = require_object(event.context, DeadReason.CONTEXT_NOT_OBJECT, "context")
    if batch.context:
        context = merge_objects(batch.context, context)
    part = read_context(context)
    properties = properties_of(event, event_type, context)
    timestamp, notes = timestamp_of(event, batch, received_at, limits.times, limits.way_ms_max)
    if arrival.replay_of is not None:
        notes = notes | {"replay_of": arrival.replay_of}
    if repaired:
        notes = notes | {"repaired": "lone_surrogates"}
    if event_type in _NAMED:
        name, category = name_and_category(event, properties)
        if category:
            notes = notes | {"category": category}
    address = address_of(part, context, event.channel, arrival.ip_address, arrival.ip_policy)
    user_agent = part.user_agent or arrival.user_agent
    if event.group_id and group_id is None:
        context, is_new = with_group(context, event.group_id)
        notes = notes if is_new else notes | {"group_id": event.group_id}
    return RawEvent(
        event_id,
        project.message_ids(client_message_id) if client_message_id else arrival.message_id or event_id,
        client_message_id,
        project.tenant_id,
        project.project_id,
        event_type,
        name,
        timestamp,
        received_at,
        anonymous_id,
        user_id,
        None if part.session_id is None else client_session_id(part.session_id),
        group_id,
        previous_id,
        address,
        user_agent,
        properties,
        with_notes(context, notes) if notes else context,
    )


def _other_members(event: Event, event_type: str) -> tuple[str | None, str | None]:
    """What the types but track cannot do without: (group_id of a group call, previous_id of an alias call)."""
    if event_type == "group":
        if not event.group_id:
            raise Refused(DeadReason.GROUP_ID_MISSING, "a group call has a groupId")
        return event.group_id, None
    if event_type == "alias":
        if not event.user_id:
            raise Refused(DeadReason.USER_ID_MISSING, "an alias call has a userId")
        if not event.previous_id:
            raise Refused(DeadReason.PREVIOUS_ID_MISSING, "an alias call has a previousId")
        return None, event.previous_id
    return None, None


def refuse_batch(batch: Batch, body: bytes, arrival: Arrival, limits: Limits) -> Admission:
    """One dead letter with the whole body, of more events than a batch may have: as many as there is room for would
    each be a record. Raises MalformedError when its elements are none.
    """
    count = len(batch.events)
    if sum(map(len, batch.events)) < count * (_EVENT_BYTES_MIN - 1):
        raise MalformedError(f"malformed batch: {count} elements are too short to be events")
    detail = f"{count} events in one batch, at most {limits.batch_events_max}"
    # What the events came with stands in the body itself.
    kept = kept_arrival(Batch([], True), arrival)
    return _refusals([refused_event(body, arrival, Refused(DeadReason.BATCH_TOO_LONG, detail), kept)], arrival.project)


def _refusals(refused: list[RefusedEvent], project: Project) -> Admission:
    assign_dead_letter_ids(refused, project)
    return Admission([], refused)
