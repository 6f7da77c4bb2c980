"""Dead letters, looked at and sent through again.

An event refused by the collector is posted to it again, with its project's write key; a record refused by streams is
produced to its topic again, under its own key; a row refused by the database is offered to it again. Ids are derived
from the event, so what succeeds twice is a duplicate, and what fails again is the same dead letter.
"""

import json
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_driver import Client
from confluent_kafka import KafkaError, Message, Producer

from schemas.outcomes import DeadReason
from sinks.letters_redelivery import Letter, NoRowError, Redelivery

_COLUMNS: Final = (
    "dead_letter_id", "tenant_id", "project_id", "stage", "reason", "detail", "payload", "client_message_id",
    "source_topic", "source_partition", "source_offset", "first_seen_at", "source_key",
)  # fmt: skip
_FLUSH_S: Final = 30.0


class ReplayError(RuntimeError):
    """A dead letter cannot be sent through; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters: all that are given must fit. since_ms: ms since 1970."""

    reason: str | None = None
    stage: str | None = None
    project_id: str | None = None
    since_ms: int | None = None
    dead_letter_id: str | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition and its parameters."""
        conditions = ["1"]
        values: dict[str, Any] = {}
        for name in ("reason", "stage", "project_id", "dead_letter_id"):
            value = getattr(self, name)
            if value is not None:
                conditions.append(f"toString({name}) = %({name})s")
                values[name] = value
        if self.since_ms is not None:
            conditions.append("first_seen_at >= fromUnixTimestamp64Milli(toInt64(%(since_ms)s))")
            values["since_ms"] = self.since_ms
        return " AND ".join(conditions), values


class Letters:
    """Reads the table dead_letters."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def summary(self, wanted: Filter) -> list[tuple[str, str, str, int, int]]:
        """Stage, reason, project id, number and latest time (ms since 1970), most frequent first."""
        where, values = wanted.where()
        rows: list[tuple[str, str, str, int, int]] = self._client.execute(
            "SELECT stage, reason, project_id, count(), toUnixTimestamp64Milli(max(first_seen_at)) "
            "FROM dead_letters FINAL "
            f"WHERE {where} GROUP BY 1, 2, 3 ORDER BY 4 DESC",
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

    def read(self, wanted: Filter) -> Iterator[Letter]:
        """The dead letters, oldest first; payload is bytes."""
        where, values = wanted.where()
        rows = self._client.execute_iter(
            f"SELECT {', '.join(_COLUMNS)} FROM dead_letters FINAL WHERE {where} "
            "ORDER BY first_seen_at, dead_letter_id",
            values,
            settings={"strings_as_bytes": True, "max_block_size": 1_000},
        )
        return (_letter(row) for row in rows)

    def write_keys(self) -> dict[str, str]:
        """A write key that is not disabled, by project id."""
        rows = self._client.execute(
            "SELECT toString(project_id), write_key FROM projects FINAL WHERE NOT is_disabled ORDER BY updated_at"
        )
        return dict(rows)


def _letter(row: tuple[Any, ...]) -> Letter:
    letter = dict(zip(_COLUMNS, row, strict=True))
    for name, value in letter.items():
        if isinstance(value, bytes) and name != "payload":
            letter[name] = value.decode("utf-8", "replace")
    return letter


class Replayer:
    """Sends dead letters through again, each by the way it came."""

    def __init__(
        self,
        collector_url: str,
        write_keys: Mapping[str, str],
        producer: Producer,
        redelivery: Redelivery,
        pace_per_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._collector_url = collector_url
        self._write_keys = write_keys
        self._producer = producer
        self._redelivery = redelivery
        self._pause_s = 1.0 / pace_per_s if pace_per_s > 0 else 0.0
        self._sleep = sleep
        self._failures: list[str] = []

    def replay(self, letter: Letter) -> None:
        """Send one through. Raises ReplayError."""
        match letter["stage"]:
            case "collector":
                self._post(letter)
            case "streams":
                self._produce(letter)
            case "sinks":
                self._redeliver(letter)
            case stage:
                raise ReplayError(f"dead letter {letter['dead_letter_id']} is of an unknown stage {stage!r}")
        if self._pause_s:
            self._sleep(self._pause_s)

    def finish(self) -> list[str]:
        """Return when everything produced is durable, and rows are in their tables; the problems, one a letter."""
        problems = self._redelivery.finish()
        left = self._producer.flush(_FLUSH_S)
        return problems + self._failures + [f"a record is not delivered within {_FLUSH_S:.0f} s"] * left

    def _redeliver(self, letter: Letter) -> None:
        try:
            self._redelivery.add(letter)
        except NoRowError as error:
            raise ReplayError(str(error)) from None

    def _post(self, letter: Letter) -> None:
        write_key = self._write_keys.get(letter["project_id"])
        if write_key is None:
            raise ReplayError(f"project {letter['project_id']} has no write key that is enabled")
        basic = b64encode(f"{write_key}:".encode()).decode()
        # Of a batch that was too long the whole body was kept.
        is_batch = letter["reason"] == DeadReason.BATCH_TOO_LONG
        body = letter["payload"] if is_batch else b'{"batch":[' + letter["payload"] + b"]}"
        request = urllib.request.Request(
            f"{self._collector_url}/v1/batch",
            body,
            {"Content-Type": "application/json", "Authorization": f"Basic {basic}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                json.load(answer)
        except (urllib.error.URLError, ValueError) as error:
            raise ReplayError(f"the collector at {self._collector_url} did not take it: {error}") from None

    def _produce(self, letter: Letter) -> None:
        if not letter["source_key"]:
            raise ReplayError(f"dead letter {letter['dead_letter_id']} has no key: its partition cannot be known")
        self._producer.produce(
            letter["source_topic"], letter["payload"], key=letter["source_key"].encode(), on_delivery=self._on_delivery
        )
        self._producer.poll(0)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}: {error.str()}")


def age(now_s: float, then_ms: int) -> str:
    """How long ago, for people; seconds and milliseconds since 1970."""
    seconds = int(now_s - then_ms / 1000)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(0, seconds)} s"
