"""Episodes as records of the topic `conversations`. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

from schemas import keys
from schemas.column_codec import ColumnCodec
from schemas.whatsapp import is_phone
from streams.conversations.episodes import RESOLVED, Episode, EpisodeRules
from streams.conversations.names import Group
from streams.runtime.operator import Outgoing
from streams.uuids import named_uuid

_INT_MAX: Final = 2**31 - 1
_DIGEST_BYTES: Final = 7  # of an integer that MessagePack can hold, with its sign
_pack: Final = msgspec.msgpack.Encoder().encode
Value = str | int | bool | None
Row = Mapping[str, Value]


class Number(NamedTuple):
    """A business number: whose signals have one key."""

    tenant_id: str
    project_id: str
    phone_number_id: str

    @property
    def key(self) -> bytes:
        """That of its signals."""
        return keys.of_signal(*self)


class Naming:
    """What conversations of a number are called, and what their rows say."""

    def __init__(self, number: Number, rules: EpisodeRules) -> None:
        self._number = number
        self._rules = rules

    def name(self, customer: str, episode: Episode) -> str:
        """The conversation's id."""
        return named_uuid(f"{'/'.join(self._number)}/{customer}/{episode.cell}/{episode.ordinal}")

    def digest(self, group: Group, episode: Episode) -> int:
        """The same for two rows that say the same."""
        said = _pack(list(self.row(group, episode).values()))
        return int.from_bytes(hashlib.blake2b(said, digest_size=_DIGEST_BYTES).digest())

    def row(self, group: Group, episode: Episode) -> dict[str, Value]:
        """Its fields, but for its id and version."""
        link, customer = episode.link, group.names[0]
        return self._of_customer(customer) | {
            "user_id": episode.user_id or (link.user_id if link is not None else "") or None,
            "current_state": episode.state,
            "started_at": episode.started_at,
            "first_response_at": episode.first_response_at,
            "resolved_at": episode.resolved_at,
            "message_count": _int(episode.messages),
            "bot_message_count": _int(episode.bot_messages),
            "agent_message_count": _int(episode.agent_messages),
            "linked_session_id": (link.session_id or None) if link is not None else None,
            "handshake_token": episode.token or None,
            "is_deleted": False,
            "wa_id": _phone_of(group),
            "queued_at": episode.queued_at,
            "first_agent_response_at": episode.first_agent_response_at,
            "last_activity_at": episode.last_activity_at,
            "resolved_reason": episode.resolved_reason,
            "handoff_count": _int(episode.handoffs),
            "customer_message_count": _int(episode.customer_messages),
            "queued_seconds": _int(episode.queued_ms // 1000),
            "bot_seconds": _int(episode.bot_ms // 1000),
            "agent_seconds": _int(episode.agent_ms // 1000),
            "entry_source": _entry_of(episode),
            "ctwa_clid": episode.ctwa_clid or None,
            "ad_id": episode.ad_id or None,
            "linked_anonymous_id": (link.anonymous_id or None) if link is not None else None,
        }

    def tombstone(self, customer: str, at_ms: int) -> dict[str, Value]:
        """The fields of a conversation that is no more. Its times are those of when that became known."""
        counts = (
            *("message_count", "bot_message_count", "agent_message_count", "handoff_count", "customer_message_count"),
            *("queued_seconds", "bot_seconds", "agent_seconds"),
        )
        absent = (
            *("user_id", "first_response_at", "resolved_at", "linked_session_id", "handshake_token", "queued_at"),
            *("first_agent_response_at", "ctwa_clid", "ad_id", "linked_anonymous_id"),
        )
        return {
            **self._of_customer(customer),
            **dict.fromkeys(counts, 0),
            **dict.fromkeys(absent),
            **dict.fromkeys(("started_at", "last_activity_at"), at_ms),
            **dict.fromkeys(("wa_id", "resolved_reason", "entry_source"), ""),
            "current_state": RESOLVED,
            "is_deleted": True,
        }

    def _of_customer(self, customer: str) -> dict[str, Value]:
        return {
            "tenant_id": self._number.tenant_id,
            "project_id": self._number.project_id,
            "business_phone_id": self._number.phone_number_id,
            "whatsapp_phone_id": customer,
            "inactivity_seconds": self._rules.inactivity_ms // 1000,
        }


def encode_rows(rows: Sequence[Row], codec: ColumnCodec) -> list[Outgoing]:
    """The rows as records, each under its key."""
    if not rows:
        return []
    schema = codec.arrow_schema
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    values = codec.encode_columns(pa.RecordBatch.from_arrays(columns, schema=schema))
    named = [keys.of_conversation(str(row["tenant_id"]), str(row["conversation_id"])) for row in rows]
    return [{"key": key, "value": value} for key, value in zip(named, values, strict=True)]


def _int(count: int) -> int:
    return min(count, _INT_MAX)


def _entry_of(episode: Episode) -> str:
    if episode.token:
        return "handshake"
    return "ctwa" if episode.ctwa_clid or episode.ad_id else "organic"


def _phone_of(group: Group) -> str:
    """The phone that had appeared last with the customer, else the first of its names that is one; ''."""
    since = [(ids[name], phone) for phone, ids in group.owners.items() for name in group.names if name in ids]
    if since:
        return max(since)[1]
    return next(filter(is_phone, group.names), "")
