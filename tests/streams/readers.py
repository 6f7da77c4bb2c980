"""The topics of streams as those read them who come after."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from tests.streams.universe import Row

FIELDS: Final = (
    "session_id", "tenant_id", "project_id", "anonymous_id", "user_id", "started_at", "ended_at", "duration_seconds",
    "event_count", "page_count", "entry_page", "exit_page", "referrer", "utm_source", "utm_medium", "utm_campaign",
    "device_type", "country_code", "channel_type", "converted", "conversion_event", "is_bot", "client_session_id",
)  # fmt: skip
_IDENTITY: Final = (
    "tenant_id", "anonymous_id", "user_id", "linked_at", "link_source", "traits", "is_deleted", "first_linked_at",
)  # fmt: skip


def in_ms(at: datetime) -> int:
    """A time in ms since 1970; one without a zone is UTC's."""
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


def past_the_watermark(rows: Iterable[tuple[int, Row]]) -> list[Row]:
    """Rows of enriched_events as a sink takes them: at or below the highest source offset seen is a repeat.

    rows: the topic's partition, and the row.
    """
    reached: dict[int, int] = {}
    found = []
    for partition, row in rows:
        assert partition == row["source_partition"]
        if row["source_offset"] > reached.get(partition, -1):
            reached[partition] = row["source_offset"]
            found.append(row)
    return found


def live(emitted: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """Of each session the row of the highest version, unless that is a tombstone, by tenant and session id."""
    newest = _newest_sessions(emitted)
    return {name: {field: row[field] for field in FIELDS} for name, row in newest.items() if not row["is_deleted"]}


def _newest_sessions(emitted: Iterable[Row]) -> dict[tuple[str, str], Row]:
    newest: dict[tuple[str, str], Row] = {}
    for row in emitted:
        name = row["tenant_id"], row["session_id"]
        if name not in newest or row["version"] >= newest[name]["version"]:
            newest[name] = row
    return newest


def dangling(events: Iterable[tuple[str, str]], emitted: Iterable[Row]) -> list[tuple[str, str]]:
    """The sessions of events, by tenant and session id, that lead to none that lives: itself, or what absorbed it."""
    newest = _newest_sessions(emitted)
    return [name for name in events if not _leads_to_a_living_one(name, newest)]


def _leads_to_a_living_one(name: tuple[str, str], newest: Mapping[tuple[str, str], Row]) -> bool:
    row = newest.get(name)
    if row is not None and row["is_deleted"]:
        row = newest.get((name[0], row["absorbed_by"]))
    return row is not None and not row["is_deleted"]


def newest_identities(emitted: Iterable[Row]) -> dict[tuple[str, str, str], Row]:
    """Of each identity the row linked last, by tenant, anonymous id and user id."""
    newest: dict[tuple[str, str, str], Row] = {}
    for row in emitted:
        name = row["tenant_id"], row["anonymous_id"], row["user_id"]
        if name not in newest or row["linked_at"] >= newest[name]["linked_at"]:
            newest[name] = {field: row[field] for field in _IDENTITY}
    return newest
