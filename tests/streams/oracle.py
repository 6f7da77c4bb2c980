"""The steps one event at a time, in plain Python: what the columnar steps are held against.

Written from the documents, not from the steps. Shared with them is only how names become UUIDs.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from schemas.codec import Codec, RecordInvalidError
from schemas.outcomes import DeadReason
from streams.events.deduplicate import DedupRules
from streams.sessions.chains import SessionRules
from streams.uuids import named_uuid

Row = dict[str, Any]
Place = tuple[int, int]  # partition and offset

_MASK: Final = 2**64 - 1
_FACTORS: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


def hash_uuid(text: str) -> int:
    """streams.uuids for one text."""
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
    owners = record["tenant_id"], record["project_id"]
    if "" in owners or "/" in "".join(owners) or key is None or not _is_text(key):
        return DeadReason.FIELD_INVALID
    is_key_of_events = key.startswith(scope.encode()) and b"/" in key[len(scope.encode()) :]
    return record if is_key_of_events else DeadReason.FIELD_INVALID


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
    active_ms: int = 0
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
        seen.active_ms = max(seen.active_ms, row["received_at"])
        if any(known == row["message_id"] for known, _ in seen.ids):
            return "duplicate"
        seen.ids.append((row["message_id"], row["received_at"] // 1000))
        return "keep"

    def end_chunk(self, rows: Iterable[Row]) -> None:
        """Forget, once a chunk, for the keys that it advanced: what is too much, then what is too old."""
        for key in {row["key"] for row in rows}:
            seen = self.keys[key]
            del seen.ids[: max(0, len(seen.ids) - self.rules.seen_ids_max)]
            while seen.ids and seen.ids[0][1] < seen.active_ms // 1000 - self.rules.window_s:
                del seen.ids[0]


def accounted(
    records: Iterable[tuple[int, int, bytes | None, bytes | None]], rules: DedupRules, codec: Codec
) -> tuple[dict[Place, Row], dict[Place, DeadReason]]:
    """By partition and offset, the rows kept and the records that are dead.

    records: partition, offset, key and value, in the order of each partition's offsets.
    """
    kept: dict[Place, Row] = {}
    dead: dict[Place, DeadReason] = {}
    deduplicator = Deduplicator(rules)  # a key lives in one partition: one for all will do
    for partition, offset, key, value in records:
        row = decode_record(key, value, codec)
        if isinstance(row, DeadReason):
            dead[partition, offset] = row
            continue
        row |= {"key": key, "source_partition": partition, "source_offset": offset}
        if deduplicator.take(row) == "keep":
            kept[partition, offset] = row
    return kept, dead


# --- sessionize


@dataclass
class Session:
    """One session: its name and its events in order of time."""

    session_id: str
    rows: list[Row]


def sessions_of(rows: Iterable[Row], rules: SessionRules) -> list[Session]:
    """The sessions of one key, from the set of its events; `rows` begin with the one that arrived first."""
    rows = list(rows)
    ordered = sorted(rows, key=moment)
    found: list[Session] = []
    if rules.client_whole and ordered and ordered[0]["client_session_id"] is not None:
        return [Session(session_name(rows[0], 0, rules), ordered)]
    start = -1
    for row in ordered:
        cell = row["timestamp"] // rules.gap_ms
        last = found[-1].rows[-1] if found else None
        if last is None or row["timestamp"] - last["timestamp"] > rules.gap_ms or cell - start >= rules.cells_max:
            start = cell
            found.append(Session(session_name(rows[0], cell, rules), []))
        found[-1].rows.append(row)
    return found


def session_name(first: Row, cell: int, rules: SessionRules) -> str:
    """The name of a session that starts in a cell; `first`: the event of its key that arrived before all others."""
    name = f"{first['key'].decode()}/{cell}"
    if cell < (first["received_at"] - rules.lateness_ms) // rules.gap_ms:
        name += f"/{first['received_at']}"
    return named_uuid(name if rules.generation == 1 else f"{name}/{rules.generation}")


def moment(row: Row) -> tuple[int, int]:
    """Events are ordered by time, ties by 20 bits of the id's hash."""
    return row["timestamp"], hash_uuid(row["message_id"]) >> 44


_UTM: Final = ("utm_source", "utm_medium", "utm_campaign")


def session_row(session: Session, conversions: Mapping[str, frozenset[str]]) -> Row:
    """The record of `sessions`, without what tells of its making (version, is_deleted)."""
    rows = session.rows
    first = rows[0]
    paged = [row for row in rows if row["page_path"]]
    campaign = next((row for row in rows if any(row[name] is not None for name in _UTM)), dict.fromkeys(_UTM))
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
        "duration_seconds": min((rows[-1]["timestamp"] - first["timestamp"]) // 1000, 2**31 - 1),
        "event_count": len(rows),
        "page_count": sum(row["event_type"] in ("page", "screen") for row in rows),
        "entry_page": paged[0]["page_path"] if paged else "",
        "exit_page": paged[-1]["page_path"] if paged else "",
        "referrer": next((_referrer(row) for row in rows if row["page_path"] or row["page_referrer"]), ""),
        **{name: campaign[name] for name in _UTM},
        "device_type": next((row["device_type"] for row in rows if row["device_type"]), ""),
        "country_code": next((row["country_code"] for row in rows if row["country_code"]), ""),
        "channel_type": first["channel_type"],
        "converted": bool(converted),
        "conversion_event": converted[0]["event_name"] if converted else None,
        "is_bot": any(row["is_bot"] for row in rows),
        "client_session_id": first["client_session_id"],
    }


def _referrer(row: Row) -> str:
    """Of a page; '' when it names the page's own site."""
    text: str = row["page_referrer"]
    return "" if _site(text) is not None and _site(text) == _site(row["page_url"]) else text


def _site(url: str) -> str | None:
    host = urlsplit(url).hostname
    return host and host.removeprefix("www.")


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


def within_the_bound(rows: Iterable[Row], rules: SessionRules) -> list[Row]:
    """The rows less those that come later than the bound after a newer one of their visitor."""
    newest: dict[bytes, int] = {}
    found = []
    for row in rows:
        reached = newest.get(row["key"], 0)
        if row["timestamp"] >= reached - rules.lateness_ms:
            newest[row["key"]] = max(reached, row["timestamp"])
            found.append(row)
    return found


# --- stitch

_LOGINS: Final = ("signed in", "logged in", "login", "sign in", "user signed in", "user logged in")

# Of claims that speak of no token of the collector's.
OF_NO_MINT: Final[Row] = {
    "handshake_side": "", "session_id": "", "phone_number_id": "", "customer": "", "expires_at": None, "fact_id": "",
}  # fmt: skip


def claims_of(row: Row) -> list[Row]:
    """The identity claims that an enriched event makes, with the Kafka keys they travel under.

    What it says of a visitor and a user comes first, then what it has seen with a token.
    """
    visitor, user, token = row["anonymous_id"], row["user_id"] or "", row["handshake_token"] or ""
    name = row["event_name"].lower()
    if row["event_type"] == "alias" and row["previous_id"] and user:
        source, visitor = "alias", row["previous_id"]
    elif token and (visitor or user):
        source = "handshake"
    elif row["event_type"] == "identify" and visitor and user:
        source = "identify"
    elif row["event_type"] == "track" and name in _LOGINS and visitor and user:
        source = "login"
    else:
        return []
    claim = {
        "source_offset": row["source_offset"],
        "source_partition": row["source_partition"],
        "tenant_id": row["tenant_id"],
        "project_id": row["project_id"],
        "anonymous_id": visitor,
        "user_id": user,
        "handshake_token": token,
        "link_source": source,
        "linked_at": row["timestamp"],
        "traits": row["properties"] if row["event_type"] == "identify" else "{}",
        **OF_NO_MINT,
        "key": f"{row['tenant_id']}/a/{visitor}",
    }
    of_token = claim | {"traits": "{}", "key": f"{row['tenant_id']}/h/{token}"}
    return [claim] * bool(visitor and user) + [of_token] * (source == "handshake")


def identities_of(claims: Iterable[Row], secrets: Iterable[str]) -> dict[tuple[str, str, str], Row]:
    """The table identities, from the set of claims: by tenant, visitor and user."""
    claims = list(claims)
    links: dict[tuple[str, str, str], list[tuple[int, str, str]]] = {}
    for claim in claims:
        if "/a/" in claim["key"]:
            name = claim["tenant_id"], claim["anonymous_id"], claim["user_id"]
            traits = _without(claim["traits"], set(secrets))
            links.setdefault(name, []).append((claim["linked_at"], claim["link_source"], traits))
    for name, moments in _handshakes(claims).items():
        links.setdefault(name, []).extend((at, "handshake", "{}") for at in moments)
    return {name: _identity(name, link) for name, link in links.items()}


def _handshakes(claims: Sequence[Row]) -> dict[tuple[str, str, str], set[int]]:
    """When each pair that a token ties was linked first and last."""
    halves = [claim for claim in claims if "/h/" in claim["key"]]
    found: dict[tuple[str, str, str], set[int]] = {}
    for one in halves:
        for other in halves:
            same = (one["tenant_id"], one["handshake_token"]) == (other["tenant_id"], other["handshake_token"])
            if same and one["anonymous_id"] and other["user_id"]:
                name = one["tenant_id"], one["anonymous_id"], other["user_id"]
                found.setdefault(name, set()).add(max(one["linked_at"], other["linked_at"]))
    return found


def _identity(name: tuple[str, str, str], link: Sequence[tuple[int, str, str]]) -> Row:
    told = [(at, traits) for at, _, traits in link if traits != "{}"]
    return {
        "tenant_id": name[0],
        "anonymous_id": name[1],
        "user_id": name[2],
        "linked_at": max(link)[0],
        "link_source": "alias" if any(source == "alias" for _, source, _ in link) else max(link)[1],
        "traits": max(told)[1] if told else "{}",
        "is_deleted": False,
        "first_linked_at": min(link)[0],
    }


def _without(traits: str, secrets: set[str]) -> str:
    members = json.loads(traits)
    kept = {name: value for name, value in members.items() if name.lower() not in secrets}
    return traits if kept == members else json.dumps(kept, separators=(",", ":"))
