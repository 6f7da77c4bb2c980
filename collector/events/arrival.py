"""What is known of a request besides its body, and what of that a refused event keeps. Pure."""

from typing import Final

import msgspec

from collector.events.event import Raw
from collector.events.parse import Batch
from collector.projects.directory import Project

# What a batch's context may come to beneath all its events: 128 events with the largest, 2,500 with 1.6 KB each.
CONTEXTS_BYTES_MAX: Final = 4 * 2**20


class Arrival(msgspec.Struct, gc=False):
    """What is known of a request besides its body.

    received_at: ms. event_type: the route's, None for a batch. ip_policy: the header X-IP-Policy. is_import: old times
    are meant. replay_of: the id of the dead letter that is sent through again; message_id: what its event has for an id
    when it brought none, the same each time.
    """

    project: Project
    received_at: int
    ip_address: str
    user_agent: str
    event_type: str | None = None
    ip_policy: str | None = None
    is_import: bool = False
    replay_of: str | None = None
    message_id: str | None = None


class KeptArrival(msgspec.Struct, gc=False, rename="camel", omit_defaults=True):
    """What an event came with besides its own bytes: without it, a replay would give it other times and another place.

    times: ms. sent_at: of its batch. unread_sent_at: as sent, when it is no time. context: of its batch, unless it is
    too large to stand beneath every event; context_bytes says so then. whatsapp_app: whose webhook brought it; all else
    stands in the bytes then.
    """

    received_at: int
    type: str | None = None
    is_import: bool = False
    sent_at: int | None = None
    unread_sent_at: str = ""
    ip: str = ""
    ip_policy: str | None = None
    user_agent: str = ""
    context: Raw = Raw(b"{}")
    context_bytes: int = 0
    whatsapp_app: str = ""


def kept_arrival(batch: Batch, arrival: Arrival) -> bytes:
    """`KeptArrival` as JSON, one for all the events of a request."""
    fits = len(batch.context) * len(batch.events) <= CONTEXTS_BYTES_MAX
    kept = KeptArrival(
        arrival.received_at,
        arrival.event_type,
        arrival.is_import,
        batch.sent_at,
        batch.unread_sent_at,
        arrival.ip_address,
        arrival.ip_policy,
        arrival.user_agent,
        Raw(batch.context if batch.context and fits else b"{}"),
        0 if fits else len(batch.context),
    )
    return msgspec.json.encode(kept)
