"""What must stand in the tables, from what the clients sent: written from the documents, with the steps' oracles."""

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from streams.sessions.chains import SessionRules
from tests.chaos.batches import CONVERSION, Event, Refused
from tests.streams.oracle import by_key, claims_of, identities_of, session_row, sessions_of

Row = dict[str, Any]


class Letter(NamedTuple):
    """What a dead letter is told by: where it stood (topic without the prefix), its bytes, why, and whose it is."""

    stage: str
    topic: str
    partition: int
    offset: int
    payload_hash: str
    reason: str
    tenant_id: str
    project_id: str
    client_message_id: str


@dataclass(slots=True)
class Sent:
    """What the clients know, and those who poisoned the topic. `unsure`: without an answer, so stored once or not.

    `began_ms`, `ended_ms`: when the first request was sent, and when everything had come to rest.
    """

    tenant_id: str
    project_id: str
    rules: SessionRules
    secrets: frozenset[str] = frozenset()
    accepted: dict[str, Event] = field(default_factory=dict)
    unsure: dict[str, Event] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    unsure_refused: dict[str, Refused] = field(default_factory=dict)
    poison: Counter[Letter] = field(default_factory=Counter)
    wrong_answers: list[str] = field(default_factory=list)
    began_ms: int = 0
    ended_ms: int = 2**62


_AS_SENT: Final = (
    "event_type", "event_name", "timestamp", "anonymous_id", "user_id", "group_id", "previous_id", "properties",
    "context", "page_path", "page_url", "page_title", "page_referrer", "channel_type", "external_id",
    "handshake_token", "sdk_version", "ip_address",
)  # fmt: skip
_OF_AGENT: Final = ("device_type", "os_name", "os_version", "browser_name", "browser_version", "bot_reason")


_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def message_id(client_message_id: str, project_id: str) -> str:
    """A UUID with its dashes stays itself, any other text becomes the project's UUIDv5 of it."""
    if _UUID.fullmatch(client_message_id):
        return client_message_id.lower()
    return str(uuid.uuid5(uuid.UUID(project_id), client_message_id))


def event_row(event: Event, sent: Sent) -> Row:
    """The columns of `events` that the sent event decides, but its session's; no database of places is configured."""
    return {
        "message_id": message_id(event.message_id, sent.project_id),
        "client_message_id": event.message_id,
        "tenant_id": sent.tenant_id,
        "project_id": sent.project_id,
        **{name: getattr(event, name) for name in _AS_SENT},
        "user_agent": event.agent.text,
        **{name: getattr(event.agent, name) for name in _OF_AGENT},
        "is_bot": event.agent.bot_reason != "" and event.channel_type == "web",
        "country_code": "",
        "city": "",
    }


def _oracle_row(event: Event, sent: Sent) -> Row:
    """The event as the oracles of the steps read it."""
    return event_row(event, sent) | {
        "key": f"{sent.tenant_id}/{sent.project_id}/v/{event.anonymous_id or event.user_id}".encode(),
        "client_session_id": None,
        "received_at": event.timestamp,  # none is late by as much as would tell in the names of sessions
        "utm_source": event.utm_source,
        "utm_medium": event.utm_medium,
        "utm_campaign": event.utm_campaign,
        "source_partition": 0,
        "source_offset": 0,
    }


@dataclass(slots=True)
class Expected:
    """`sessions`: rows by session id; `identities`: rows by visitor and user.

    `session_of`: by the client's message id, the session that an event belongs to, and the ids that this session, or a
    part of it that had another beginning, may have had when the event was written.
    """

    sessions: dict[str, Row]
    identities: dict[str, Row]
    session_of: dict[str, tuple[str, frozenset[str]]]


def expect(events: Iterable[Event], sent: Sent) -> Expected:
    """The fold of these events."""
    rows = [_oracle_row(event, sent) for event in events]
    sessions: dict[str, Row] = {}
    session_of: dict[str, tuple[str, frozenset[str]]] = {}
    conversions = {sent.project_id: frozenset({CONVERSION})}
    for of_key in by_key(rows).values():
        for session in sessions_of(of_key, sent.rules):
            sessions[session.session_id] = session_row(session, conversions) | {"is_deleted": 0}
            alone = frozenset(sessions_of([row], sent.rules)[0].session_id for row in session.rows)
            session_of |= {row["client_message_id"]: (session.session_id, alone) for row in session.rows}
    claims = [claim for row in rows for claim in claims_of(row)]
    links = identities_of(claims, sent.secrets).values()
    identities = {f"{link['anonymous_id']} {link['user_id']}": link for link in links}
    return Expected(sessions, identities, session_of)


def refused_letter(refused: Refused, sent: Sent) -> Letter:
    """What the collector keeps of an event that it refuses."""
    digest = hashlib.sha256(refused.payload).hexdigest()
    return Letter("collector", "", -1, -1, digest, refused.reason, sent.tenant_id, sent.project_id, refused.message_id)


def letters(sent: Sent) -> tuple[Counter[Letter], Counter[Letter]]:
    """(those that must be there, each so often; those that may be there besides)."""
    must = sent.poison + Counter(refused_letter(refused, sent) for refused in sent.refused.values())
    may = Counter(
        refused_letter(refused, sent) for name, refused in sent.unsure_refused.items() if name not in sent.refused
    )
    return must, may


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The columns in which a row is otherwise than it should be, with both values."""
    return [
        f"{name} is {found.get(name)!r} instead of {value!r}"
        for name, value in expected.items()
        if name not in found or found[name] != value
    ]
