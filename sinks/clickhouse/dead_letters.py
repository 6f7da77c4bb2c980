"""Dead letters in ClickHouse: the table dead_letters is read, dead_letter_replays is written."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sinks.clickhouse.client import Client
from sinks.replay.query import SENT, STORED, DeadLetter, Selection

_PAGE: Final = 200  # of up to 2 MiB each
_COLUMNS: Final = (
    "dead_letter_id", "tenant_id", "project_id", "stage", "reason", "detail", "payload", "client_message_id",
    "source_topic", "source_partition", "source_offset", "source_key", "arrival",
)  # fmt: skip
_SEEN: Final = "toUnixTimestamp64Milli(first_seen_at)"
_PLACE: Final = "(dead_letter_id, source_topic, source_partition, source_offset)"
_UNREPLAYED: Final = (
    f"{_PLACE} NOT IN (SELECT dead_letter_id, source_topic, source_partition, source_offset FROM dead_letter_replays "
    f"WHERE outcome IN ('{SENT}', '{STORED}'))"
)
_MARKED: Final = (
    "dead_letter_id", "tenant_id", "project_id", "stage", "reason", "source_topic", "source_partition", "source_offset",
)  # fmt: skip


class ClickHouseDeadLetters:
    """Reads the table dead_letters, and writes dead_letter_replays."""

    def __init__(self, client: Client, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client = client
        self._now = now

    def summary(self, wanted: Selection) -> list[tuple[str, str, str, int, int]]:
        """Stage, reason, project id, number and latest time (ms since 1970), most frequent first."""
        where, values = condition(wanted)
        rows = self._client.execute(
            "SELECT stage, reason, project_id, count(), toUnixTimestamp64Milli(max(first_seen_at)) "
            f"FROM dead_letters FINAL WHERE {where} GROUP BY 1, 2, 3 ORDER BY 4 DESC",
            values,
        )
        return [(stage, reason, project_id, count, seen_ms) for stage, reason, project_id, count, seen_ms in rows]

    def latest(self, wanted: Selection, count: int) -> list[tuple[str, str, str]]:
        """Id, reason and detail of the latest few, oldest first; no payload is read."""
        where, values = condition(wanted)
        rows = self._client.execute(
            f"SELECT toString(dead_letter_id), reason, detail FROM dead_letters FINAL WHERE {where} "
            "ORDER BY first_seen_at DESC, dead_letter_id DESC LIMIT %(count)s",
            values | {"count": count},
        )
        return [(dead_letter_id, reason, detail) for dead_letter_id, reason, detail in reversed(rows)]

    def pages(self, wanted: Selection) -> Iterator[list[DeadLetter]]:
        """The dead letters, oldest first, a few in memory at a time; payload is bytes."""
        where, values = condition(wanted)
        after = (-1, "")
        while True:
            rows = self._client.execute(
                f"SELECT {', '.join(_COLUMNS)}, {_SEEN}, toString(dead_letter_id) FROM dead_letters FINAL "
                f"WHERE {where} AND ({_SEEN}, toString(dead_letter_id)) > %(after)s "
                f"ORDER BY {_SEEN}, toString(dead_letter_id) LIMIT {_PAGE}",
                values | {"after": after},
                settings={"strings_as_bytes": True},
            )
            if not rows:
                return
            yield [_dead_letter(row) for row in rows]
            after = (rows[-1][-2], rows[-1][-1].decode())

    def write_keys(self) -> dict[str, str]:
        """A write key that is not disabled, by project id."""
        rows = self._client.execute(
            "SELECT toString(project_id), write_key FROM projects FINAL WHERE NOT is_disabled ORDER BY updated_at"
        )
        return dict(rows)

    def stored(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of these events, by project id and message id, have a row already, however long ago it came."""
        if not names:
            return set()
        ids = tuple({message_id for _, message_id in names})
        rows = self._client.execute(
            "SELECT DISTINCT project_id, toString(message_id) FROM events WHERE message_id IN %(ids)s", {"ids": ids}
        )
        return {(project_id, message_id) for project_id, message_id in rows} & set(names)

    def mark(self, dead_letters: Sequence[DeadLetter], outcome: str) -> None:
        """Note what becomes of dead letters that are sent through again."""
        if dead_letters:
            rows = [(*(dead_letter[name] for name in _MARKED), outcome, self._now()) for dead_letter in dead_letters]
            columns = ", ".join((*_MARKED, "outcome", "replayed_at"))
            self._client.execute(f"INSERT INTO dead_letter_replays ({columns}) VALUES", rows)


def condition(wanted: Selection) -> tuple[str, dict[str, Any]]:
    """The condition and its parameters."""
    conditions = ["1"] if wanted.replayed else [_UNREPLAYED]
    values: dict[str, Any] = {}
    for name in ("reason", "stage", "project_id", "dead_letter_id"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(f"toString({name}) = %({name})s")
            values[name] = value
    for name, sign in (("since_ms", ">="), ("until_ms", "<=")):
        if getattr(wanted, name) is not None:
            conditions.append(f"first_seen_at {sign} fromUnixTimestamp64Milli(toInt64(%({name})s))")
            values[name] = getattr(wanted, name)
    return " AND ".join(conditions), values


def _dead_letter(row: tuple[Any, ...]) -> DeadLetter:
    dead_letter = dict(zip((*_COLUMNS, "first_seen_ms"), row[:-1], strict=True))
    for name, value in dead_letter.items():
        if isinstance(value, bytes) and name != "payload":
            dead_letter[name] = value.decode("utf-8", "replace")
    return dead_letter
