"""What stands in the tables, in every column, times in ms since 1970."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from docker.local.services import CommandFailedError, Pipeline
from tests.chaos.expected import Letter, Row
from tests.chaos.rollups import RolledUp, read_rollups

SLICES: Final = 16  # of `events`: a slice at a time is held in memory
_LEDGER_S: Final = 600.0
_TIMES: Final = frozenset(
    {"timestamp", "received_at", "processed_at", "started_at", "ended_at", "linked_at", "first_linked_at"}
)
# The columns that are compared with what was sent, or bounded by it.
EVENTS: Final = (
    "event_id", "message_id", "tenant_id", "project_id", "event_name", "event_type", "timestamp", "received_at",
    "anonymous_id", "user_id", "session_id", "channel_type", "external_id", "handshake_token", "page_path", "page_url",
    "page_title", "page_referrer", "user_agent", "device_type", "os_name", "os_version", "browser_name",
    "browser_version", "ip_address", "country_code", "city", "properties", "sdk_version", "processed_at",
    "client_message_id", "context", "is_bot", "bot_reason", "group_id", "previous_id", "source_partition",
    "source_offset", "source_generation",
)  # fmt: skip
SESSIONS: Final = (
    "session_id", "tenant_id", "anonymous_id", "user_id", "started_at", "ended_at", "duration_seconds", "event_count",
    "page_count", "entry_page", "referrer", "utm_source", "utm_medium", "utm_campaign", "device_type", "country_code",
    "converted", "conversion_event", "is_deleted", "project_id", "exit_page", "channel_type", "is_bot",
    "client_session_id",
)  # fmt: skip
IDENTITIES: Final = (
    "tenant_id", "anonymous_id", "user_id", "linked_at", "link_source", "traits", "is_deleted", "first_linked_at",
)  # fmt: skip
DEAD_LETTERS: Final = (
    "stage", "source_topic", "source_partition", "source_offset", "payload", "reason", "tenant_id", "project_id",
    "client_message_id",
)  # fmt: skip
JUDGED: Final = {"events": EVENTS, "sessions": SESSIONS, "identities": IDENTITIES, "dead_letters": DEAD_LETTERS}
# What nobody who sends an event can know, and what ClickHouse itself makes of columns that are judged.
UNJUDGED: Final = {
    "events": frozenset[str](),
    "sessions": frozenset({"version", "absorbed_by"}),
    "identities": frozenset[str](),
    "dead_letters": frozenset(
        {
            "dead_letter_id",
            "detail",
            "first_seen_at",
            "source_key",
            "arrival",
            "lineage",
            "raw_offset",
            "raw_generation",
        }
    ),
}


@dataclass(slots=True)
class Found:
    """The tables. `events` may be read once.

    tombstones: sessions that ceased since another took them in. dangling: the message ids of events whose session,
    and what took it in, is not in the table.
    """

    events: Iterable[Row] = ()
    sessions: list[Row] = field(default_factory=list)
    tombstones: frozenset[str] = frozenset()
    identities: list[Row] = field(default_factory=list)
    dead_letters: Counter[Letter] = field(default_factory=Counter)
    ledger: dict[str, Any] = field(default_factory=dict)
    dangling: list[str] = field(default_factory=list)
    rollups: RolledUp = field(default_factory=RolledUp)


def read_tables(pipeline: Pipeline) -> Found:
    """Everything; nothing may be under way."""
    return Found(
        events=_events(pipeline),
        sessions=list(_rows(pipeline, "sessions FINAL", SESSIONS)),
        tombstones=_tombstones(pipeline),
        dangling=_dangling(pipeline),
        identities=list(_rows(pipeline, "identities FINAL", IDENTITIES)),
        dead_letters=_dead_letters(pipeline),
        ledger=_ledger(pipeline),
        rollups=read_rollups(pipeline),
    )


def _events(pipeline: Pipeline) -> Iterator[Row]:
    for number in range(SLICES):
        yield from _rows(pipeline, f"events WHERE cityHash64(client_message_id) % {SLICES} = {number}", EVENTS)


def _rows(pipeline: Pipeline, source: str, names: Iterable[str]) -> Iterator[Row]:
    columns = ", ".join(f"toUnixTimestamp64Milli(t.{name}) AS {name}" if name in _TIMES else name for name in names)
    table, _, rest = source.partition(" ")
    where = rest.replace("FINAL", "")
    answer = pipeline.query(
        f"SELECT {columns} FROM {table} AS t {'FINAL' if 'FINAL' in rest else ''} {where} FORMAT JSONEachRow "
        "SETTINGS output_format_json_quote_64bit_integers = 0"
    )
    return map(json.loads, answer.splitlines())


def _tombstones(pipeline: Pipeline) -> frozenset[str]:
    answer = pipeline.query(
        "SELECT toString(session_id) FROM sessions GROUP BY tenant_id, session_id "
        "HAVING argMax(is_deleted, version) = 1"
    )
    return frozenset(answer.splitlines())


def _dangling(pipeline: Pipeline) -> list[str]:
    return pipeline.query(
        "SELECT client_message_id FROM events_sessions WHERE (tenant_id, resolved_session_id) NOT IN "
        "(SELECT tenant_id, toString(session_id) FROM sessions_current) ORDER BY 1"
    ).splitlines()


def _dead_letters(pipeline: Pipeline) -> Counter[Letter]:
    """Each letter, and how often it stands there. A repeat of a letter under its own id is the same row."""
    prefix = pipeline.settings.topic_prefix
    answer = pipeline.query(
        "SELECT stage, source_topic, source_partition, source_offset, lower(hex(SHA256(payload))), reason, tenant_id, "
        "project_id, client_message_id, count() FROM dead_letters FINAL GROUP BY ALL FORMAT JSONCompactEachRow "
        "SETTINGS output_format_json_quote_64bit_integers = 0"
    )
    found: Counter[Letter] = Counter()
    for line in answer.splitlines():
        stage, topic, *others, times = json.loads(line)
        found[Letter(stage, topic.removeprefix(prefix), *others)] += times
    return found


def _ledger(pipeline: Pipeline) -> dict[str, Any]:
    try:
        text = pipeline.run("sinks", "ledger", "--json", timeout_s=_LEDGER_S)
    except CommandFailedError as error:
        text = str(error).split("\n", 1)[1]
    found: dict[str, Any] = json.loads(text.splitlines()[0])
    return found
