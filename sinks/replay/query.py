"""Dead letters in their table: which are meant, how many there are, and which were sent through again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from clickhouse_driver import Client

from schemas.message_ids import MessageIds

Letter = Mapping[str, Any]

SENT: Final = "sent"
STORED: Final = "stored"
SENDING: Final = "sending"
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


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: all that are given must fit. since_ms, until_ms: ms since 1970.

    replayed: also those that were sent through again already.
    """

    reason: str | None = None
    stage: str | None = None
    project_id: str | None = None
    since_ms: int | None = None
    dead_letter_id: str | None = None
    until_ms: int | None = None
    replayed: bool = False

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition and its parameters."""
        conditions = ["1"] if self.replayed else [_UNREPLAYED]
        values: dict[str, Any] = {}
        for name in ("reason", "stage", "project_id", "dead_letter_id"):
            value = getattr(self, name)
            if value is not None:
                conditions.append(f"toString({name}) = %({name})s")
                values[name] = value
        for name, sign in (("since_ms", ">="), ("until_ms", "<=")):
            if getattr(self, name) is not None:
                conditions.append(f"first_seen_at {sign} fromUnixTimestamp64Milli(toInt64(%({name})s))")
                values[name] = getattr(self, name)
        return " AND ".join(conditions), values


class Letters:
    """Reads the table dead_letters, and writes dead_letter_replays."""

    def __init__(self, client: Client, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client = client
        self._now = now

    def summary(self, wanted: Filter) -> list[tuple[str, str, str, int, int]]:
        """Stage, reason, project id, number and latest time (ms since 1970), most frequent first."""
        where, values = wanted.where()
        rows: list[tuple[str, str, str, int, int]] = self._client.execute(
            "SELECT stage, reason, project_id, count(), toUnixTimestamp64Milli(max(first_seen_at)) "
            f"FROM dead_letters FINAL WHERE {where} GROUP BY 1, 2, 3 ORDER BY 4 DESC",
            values,
        )
        return rows

    def latest(self, wanted: Filter, count: int) -> list[tuple[str, str, str]]:
        """Id, reason and detail of the latest few, oldest first; no payload is read."""
        where, values = wanted.where()
        rows: list[tuple[str, str, str]] = self._client.execute(
            f"SELECT toString(dead_letter_id), reason, detail FROM dead_letters FINAL WHERE {where} "
            "ORDER BY first_seen_at DESC, dead_letter_id DESC LIMIT %(count)s",
            values | {"count": count},
        )
        return rows[::-1]

    def pages(self, wanted: Filter) -> Iterator[list[Letter]]:
        """The dead letters, oldest first, a few in memory at a time; payload is bytes."""
        where, values = wanted.where()
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
            yield [_letter(row) for row in rows]
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
        return set(rows) & set(names)

    def mark(self, letters: Sequence[Letter], outcome: str) -> None:
        """Note what becomes of letters that are sent through again."""
        if letters:
            rows = [(*(letter[name] for name in _MARKED), outcome, self._now()) for letter in letters]
            columns = ", ".join((*_MARKED, "outcome", "replayed_at"))
            self._client.execute(f"INSERT INTO dead_letter_replays ({columns}) VALUES", rows)


def _letter(row: tuple[Any, ...]) -> Letter:
    letter = dict(zip((*_COLUMNS, "first_seen_ms"), row[:-1], strict=True))
    for name, value in letter.items():
        if isinstance(value, bytes) and name != "payload":
            letter[name] = value.decode("utf-8", "replace")
    return letter


def event_name(letter: Letter) -> tuple[str, str]:
    """Project id and message id that the event of a collector's dead letter has, or gets when it is sent again."""
    project_id, text = letter["project_id"], letter["client_message_id"]
    return project_id, MessageIds(project_id)(text) if text else str(letter["dead_letter_id"])


def until(wanted: Filter, now_ms: int) -> Filter:
    """The same without what comes from now on: a replay that fails would be met again for ever."""
    return replace(wanted, until_ms=now_ms)


def age(now_s: float, then_ms: int) -> str:
    """How long ago, for people; seconds and milliseconds since 1970."""
    seconds = int(now_s - then_ms / 1000)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(0, seconds)} s"
