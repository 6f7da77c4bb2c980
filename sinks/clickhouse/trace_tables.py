"""What `trace` asks of ClickHouse: rows and dead letters of one event."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from schemas.settings import Settings
from sinks.clickhouse.client import Client
from sinks.clickhouse.ledger_tables import LedgerTables
from sinks.ledger.evidence import DeadEvent
from sinks.ledger.trace import EventName, Row, Sighting, dead_letter, stored_row

_IDS_MAX: Final = 2_000  # ids asked for at once; ClickHouse reads statements of up to 256 KiB
_TIME: Final = "formatDateTime({0}, '%%Y-%%m-%%d %%H:%%i:%%S', 'UTC')"
_EVENT: Final = (
    "SELECT project_id, toString(message_id), source_generation, source_partition, source_offset, event_type, "
    f"event_name, toString(event_id), {_TIME.format('received_at')}, {_TIME.format('processed_at')}, session_id "
    "FROM events WHERE message_id IN %(ids)s"
)
_DEAD: Final = (
    f"SELECT project_id, toString(dead_letter_id), stage, reason, detail, {_TIME.format('first_seen_at')}, "
    "source_topic, source_partition, source_offset FROM dead_letters FINAL WHERE client_message_id = %(text)s "
    "ORDER BY first_seen_at LIMIT 1000"
)


class TraceTables:
    """Looks for single events."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._ledger = LedgerTables(client, settings)

    def rows(self, names: set[EventName]) -> list[Row]:
        """The rows of these events, however many projects there are."""
        ids = sorted({message_id for _, message_id in names})
        found: list[Row] = []
        for start in range(0, len(ids), _IDS_MAX):
            answer: list[tuple[Any, ...]] = self._client.execute(_EVENT, {"ids": tuple(ids[start : start + _IDS_MAX])})
            found += [stored_row(*values) for values in answer if values[:2] in names]
        return found

    def dead_letters(self, text: str) -> dict[str, Sighting]:
        """The dead letters that name this messageId, by their ids."""
        return {values[1]: dead_letter(*values) for values in self._client.execute(_DEAD, {"text": text})}

    def dead_events(self, partition: int, offsets: Sequence[int]) -> Iterator[DeadEvent]:
        """The dead letters of the raw events at these offsets."""
        return self._ledger.dead_events(partition, offsets)

    def project_ids(self) -> list[str]:
        """Every project that the table knows."""
        return [name for (name,) in self._client.execute("SELECT DISTINCT toString(project_id) FROM projects")]
