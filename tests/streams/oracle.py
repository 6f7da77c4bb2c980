"""The steps one event at a time, in plain Python: what the columnar steps are held against.

Written from the documents, not from the steps. Shared with them is only how names become UUIDs.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.codec import Codec, RecordInvalidError
from schemas.outcomes import DeadReason
from streams.state import SessionRules, named_uuid
from streams.steps.deduplicate import DedupRules

Row = dict[str, Any]

_MASK: Final = 2**64 - 1
_FACTORS: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


def hash_uuid(text: str) -> int:
    """streams.hashes for one text."""
    padded = text.encode().ljust(40, b"\0")
    hashed = 0
    for place, factor in enumerate(_FACTORS):
        word = int.from_bytes(padded[place * 8 : place * 8 + 8], "little")
        mixed = word * factor & _MASK
        mixed ^= mixed >> 29
        if place == 0:
            hashed = mixed
        else:
            hashed = (hashed ^ mixed) * factor & _MASK
            hashed ^= hashed >> 32
    return hashed


# --- decode

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def decode_record(key: bytes | None, value: bytes | None, codec: Codec) -> Row | DeadReason:
    """The record's fields, times in ms, or why it is a dead letter."""
    if value is None:
        return DeadReason.NOT_AVRO
    try:
        record = codec.decode(value)
    except RecordInvalidError as error:
        return error.reason
    for name in ("timestamp", "received_at"):
        at = record[name]
        record[name] = at if isinstance(at, int) else round(at.timestamp() * 1000)
        if not 0 <= record[name] < 2**43:
            return DeadReason.FIELD_INVALID
    if not (_UUID.fullmatch(record["event_id"]) and _UUID.fullmatch(record["message_id"])):
        return DeadReason.FIELD_INVALID
    scope = f"{record['tenant_id']}/{record['project_id']}/"
    if not record["tenant_id"] or not record["project_id"] or key is None or not _is_text(key):
        return DeadReason.FIELD_INVALID
    return record if key.startswith(scope.encode()) else DeadReason.FIELD_INVALID


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# --- deduplicate


@dataclass
class SeenIds:
    """What is remembered of one key: (message id, second of receipt), oldest first."""

    applied: int = -1
    touched_ms: int = 0
    ids: list[tuple[str, int]] = field(default_factory=list)


class Deduplicator:
    """The fold of deduplicate."""

    def __init__(self, rules: DedupRules) -> None:
        self.rules = rules
        self.keys: dict[bytes, SeenIds] = {}

    def take(self, row: Row) -> str:
        """keep, duplicate or replayed."""
        seen = self.keys.setdefault(row["key"], SeenIds())
        if row["source_offset"] <= seen.applied:
            return "replayed"
        seen.applied = row["source_offset"]
        seen.touched_ms = max(seen.touched_ms, row["received_at"])
        if any(known == row["message_id"] for known, _ in seen.ids):
            return "duplicate"
        seen.ids.append((row["message_id"], row["received_at"] // 1000))
        return "keep"

    def end_chunk(self, rows: Iterable[Row]) -> None:
        """Forget, once a chunk, for the keys that it advanced: what is too much, then what is too old."""
        for key in {row["key"] for row in rows}:
            seen = self.keys[key]
            del seen.ids[: max(0, len(seen.ids) - self.rules.seen_ids_max)]
            while seen.ids and seen.ids[0][1] < seen.touched_ms // 1000 - self.rules.window_s:
                del seen.ids[0]


# --- sessionize


@dataclass
class Session:
    """One session: its name and its events in order of time."""

    session_id: str
    rows: list[Row]


def sessions_of(rows: Iterable[Row], rules: SessionRules) -> list[Session]:
    """The sessions of one key, from the set of its events."""
    ordered = sorted(rows, key=moment)
    found: list[Session] = []
    if not ordered:
        return found
    key = ordered[0]["key"].decode()
    client = ordered[0]["client_session_id"]
    if client is not None:
        return [Session(client if _UUID.fullmatch(client) else named_uuid(key), ordered)]
    start = -1
    for row in ordered:
        cell = row["timestamp"] // rules.gap_ms
        last = found[-1].rows[-1] if found else None
        if last is None or row["timestamp"] - last["timestamp"] > rules.gap_ms or cell - start >= rules.cells_max:
            start = cell
            found.append(Session(named_uuid(f"{key}/{cell}"), []))
        found[-1].rows.append(row)
    return found


def moment(row: Row) -> tuple[int, int]:
    """Events are ordered by time, ties by 20 bits of the id's hash."""
    return row["timestamp"], hash_uuid(row["message_id"]) >> 44


def session_row(session: Session, conversions: Mapping[str, frozenset[str]]) -> Row:
    """The record of `sessions`, without what tells of its making (version, is_deleted)."""
    rows = session.rows
    first = rows[0]
    paged = [row for row in rows if row["page_path"]]
    converted = [row for row in rows if row["event_name"] in conversions.get(row["project_id"], ())]
    users = [row["user_id"] for row in rows if row["user_id"] is not None]
    return {
        "session_id": session.session_id,
        "tenant_id": first["tenant_id"],
        "project_id": first["project_id"],
        "anonymous_id": next((row["anonymous_id"] for row in rows if row["anonymous_id"]), ""),
        "user_id": users[-1] if users else None,
        "started_at": first["timestamp"],
        "ended_at": rows[-1]["timestamp"],
        "duration_seconds": (rows[-1]["timestamp"] - first["timestamp"]) // 1000,
        "event_count": len(rows),
        "page_count": sum(row["event_type"] in ("page", "screen") for row in rows),
        "entry_page": paged[0]["page_path"] if paged else "",
        "exit_page": paged[-1]["page_path"] if paged else "",
        "referrer": first["page_referrer"],
        **{name: first[name] for name in ("utm_source", "utm_medium", "utm_campaign")},
        **{name: first[name] for name in ("device_type", "country_code", "channel_type")},
        "converted": bool(converted),
        "conversion_event": converted[0]["event_name"] if converted else None,
        "is_bot": any(row["is_bot"] for row in rows),
    }


def by_key(rows: Iterable[Row]) -> dict[bytes, list[Row]]:
    """The rows of each key, in their order."""
    found: dict[bytes, list[Row]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append(row)
    return found


def all_sessions(
    rows: Iterable[Row], rules: SessionRules, conversions: Mapping[str, frozenset[str]]
) -> dict[tuple[str, str], Row]:
    """The rows of the table sessions, by tenant and session id."""
    return {
        (row["tenant_id"], row["session_id"]): row
        for rows_of_key in by_key(rows).values()
        for row in (session_row(session, conversions) for session in sessions_of(rows_of_key, rules))
    }


def session_id_of(row: Row, known: Iterable[Row], rules: SessionRules) -> str:
    """The session of an event among the events of its key known so far."""
    for session in sessions_of(known, rules):
        if any(other is row for other in session.rows):
            return session.session_id
    raise AssertionError("the row is not among the known")
