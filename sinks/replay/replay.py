"""Dead letters sent through again, each by its own way.

An event refused by the collector is taken by it again, with what it came with: its times, address and agent, and the
context of its batch. A record refused by streams is produced to its topic again, under its own key. A row refused by
the database is offered to it again. Ids are derived from the event, and what has a row already is not sent at all: so
no event is stored twice, however often and however late it is sent. What fails again is the dead letter that it was.
"""

import json
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, Message, Producer

from schemas.codec import Codec, RecordInvalidError
from schemas.dead_letters import REPLAY_HEADER
from sinks.replay.query import SENDING, SENT, STORED, DeadLetter, ReplayTable, event_name
from sinks.replay.reinsert import NoRowError, Reinsertion

_FLUSH_S: Final = 30.0
_ANSWER_S: Final = 60.0
_POST_BYTES_MAX: Final = 16 * 2**20
_PROBLEMS_MAX: Final = 100


@dataclass(slots=True)
class Replayed:
    """What became of dead letters: sent, stored already, failed, and why some failed."""

    sent: int = 0
    stored: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)

    def fail(self, dead_letter: DeadLetter, why: str) -> None:
        """Count one that could not be sent."""
        self.failed += 1
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(f"dead letter {dead_letter['dead_letter_id']} {why}")

    def add(self, other: "Replayed") -> None:
        """Count those of another page too."""
        self.sent += other.sent
        self.stored += other.stored
        self.failed += other.failed
        self.problems += other.problems[: _PROBLEMS_MAX - len(self.problems)]


class CollectorUnreachableError(RuntimeError):
    """No collector takes dead letters; the message says where it was looked for."""


class CollectorAdmin:
    """The admin port of a collector."""

    def __init__(self, url: str) -> None:
        self._url = url

    def take_again(self, dead_letters: Sequence[DeadLetter], write_keys: Mapping[str, str]) -> list[str]:
        """Of each "" once it is durable, or why it is refused again. Raises CollectorUnreachableError."""
        body = [
            {
                "deadLetterId": str(dead_letter["dead_letter_id"]),
                "writeKey": write_keys.get(dead_letter["project_id"], ""),
                "reason": dead_letter["reason"],
                "payload": b64encode(dead_letter["payload"]).decode(),
                "arrival": dead_letter["arrival"],
                "firstSeenAt": dead_letter["first_seen_ms"],
            }
            for dead_letter in dead_letters
        ]
        request = urllib.request.Request(f"{self._url}/replay", json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
                outcomes: list[str] = json.load(answer)
                return outcomes
        except (OSError, ValueError) as error:
            why = error.read().decode(errors="replace").strip() if isinstance(error, urllib.error.HTTPError) else error
            raise CollectorUnreachableError(
                f"the collector's admin port at {self._url} did not take it: {why}; "
                "TALLY_SINKS_COLLECTOR_ADMIN_URL says where it is"
            ) from None


class CollectorReplay(Protocol):
    """Who takes dead letters of the collector: `CollectorAdmin`."""

    def take_again(self, dead_letters: Sequence[DeadLetter], write_keys: Mapping[str, str]) -> list[str]:
        """Of each "" once it is durable, or why it is refused again. Raises CollectorUnreachableError."""


class Replayer:
    """`topics`: the broker's names of the topics that streams reads, and may be produced to again."""

    def __init__(
        self,
        table: ReplayTable,
        collector: CollectorReplay,
        producer: Producer,
        raw_events: Codec,
        topics: Collection[str],
        reinsertion: Reinsertion,
        pace_per_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._collector = collector
        self._producer = producer
        self._raw_events = raw_events
        self._topics = topics
        self._reinsertion = reinsertion
        self._pause_s = 1.0 / pace_per_s if pace_per_s > 0 else 0.0
        self._sleep = sleep
        self._write_keys = table.write_keys()

    def replay(self, page: Sequence[DeadLetter]) -> Replayed:
        """Send some through; returns when they are durable."""
        result = Replayed()
        ways: dict[str, Callable[[Sequence[DeadLetter], Replayed], None]] = {
            "collector": self._post, "streams": self._produce, "sinks": self._reinsert,
        }  # fmt: skip
        for dead_letter in page:
            if dead_letter["stage"] not in ways:
                result.fail(dead_letter, f"is of an unknown stage {dead_letter['stage']!r}")
        for stage, way in ways.items():
            if chosen := [dead_letter for dead_letter in page if dead_letter["stage"] == stage]:
                way(chosen, result)
        if self._pause_s:
            self._sleep(self._pause_s * len(page))
        return result

    def _without_stored(
        self, dead_letters: Sequence[DeadLetter], names: Mapping[str, tuple[str, str]], result: Replayed
    ) -> list[DeadLetter]:
        """Those whose event has no row yet; the others are marked and counted."""
        having = self._table.stored(list(names.values()))
        there = [dead_letter for dead_letter in dead_letters if names.get(_id(dead_letter)) in having]
        self._table.mark(there, STORED)
        result.stored += len(there)
        return [dead_letter for dead_letter in dead_letters if names.get(_id(dead_letter)) not in having]

    def _post(self, dead_letters: Sequence[DeadLetter], result: Replayed) -> None:
        known = []
        for dead_letter in dead_letters:
            if not dead_letter["project_id"] or dead_letter["project_id"] in self._write_keys:
                known.append(dead_letter)
            else:
                result.fail(
                    dead_letter, f"is of project {dead_letter['project_id']}, which has no write key that is enabled"
                )
        # What belonged to no project has no event that could be asked for: the collector finds out whose it is.
        names = {_id(dead_letter): event_name(dead_letter) for dead_letter in known if dead_letter["project_id"]}
        left = self._without_stored(known, names, result)
        for some in _by_size(left):
            self._post_some(some, result)

    def _post_some(self, dead_letters: Sequence[DeadLetter], result: Replayed) -> None:
        try:
            outcomes = self._collector.take_again(dead_letters, self._write_keys)
        except CollectorUnreachableError as error:
            for dead_letter in dead_letters:
                result.fail(dead_letter, f"is not sent: {error}")
            return
        judged = zip(dead_letters, outcomes, strict=True)
        refused = {_id(dead_letter): f"is refused again: {why}" for dead_letter, why in judged if why}
        self._settle(dead_letters, refused, SENT, result)

    def _produce(self, dead_letters: Sequence[DeadLetter], result: Replayed) -> None:
        fit = []
        for dead_letter in dead_letters:
            if dead_letter["source_topic"] not in self._topics:
                result.fail(
                    dead_letter, f"came from {dead_letter['source_topic']!r}, which is no topic that streams reads"
                )
            elif not dead_letter["source_key"]:
                result.fail(dead_letter, "has no key: its partition cannot be known")
            else:
                fit.append(dead_letter)
        names = {_id(dead_letter): name for dead_letter in fit if (name := self._name_of(dead_letter)) is not None}
        left = self._without_stored(fit, names, result)
        # First the note: the ledger must know of a place whose dead letter may soon stand at another.
        self._table.mark(left, SENDING)
        failures: dict[str, str] = {}
        for dead_letter in left:
            self._produce_one(dead_letter, failures)
        if self._producer.flush(_FLUSH_S):
            self._producer.purge()
            self._producer.flush(_FLUSH_S)  # calls back for each that was not delivered
        self._settle(left, failures, SENT, result)

    def _produce_one(self, dead_letter: DeadLetter, failures: dict[str, str]) -> None:
        dead_letter_id = _id(dead_letter)

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures[dead_letter_id] = f"is not delivered to {dead_letter['source_topic']}: {error.str()}"

        self._producer.produce(
            dead_letter["source_topic"],
            dead_letter["payload"],
            key=dead_letter["source_key"].encode(),
            headers=[(REPLAY_HEADER, dead_letter_id.encode())],
            on_delivery=on_delivery,
        )
        self._producer.poll(0)

    def _name_of(self, dead_letter: DeadLetter) -> tuple[str, str] | None:
        """Project id and message id of a raw event; None when it cannot be decoded, or is none."""
        try:
            record: Mapping[str, Any] = self._raw_events.decode(dead_letter["payload"])
        except RecordInvalidError:
            return None
        return record["project_id"], record["message_id"]

    def _reinsert(self, dead_letters: Sequence[DeadLetter], result: Replayed) -> None:
        added = []
        for dead_letter in dead_letters:
            try:
                self._reinsertion.add(dead_letter)
                added.append(dead_letter)
            except NoRowError as error:
                result.fail(dead_letter, str(error))
        self._settle(added, self._reinsertion.finish(), STORED, result)

    def _settle(
        self, dead_letters: Sequence[DeadLetter], failures: Mapping[str, str], mark: str, result: Replayed
    ) -> None:
        """Mark and count those that went through; `failures`: by id, why the others did not."""
        for dead_letter in dead_letters:
            if _id(dead_letter) in failures:
                result.fail(dead_letter, failures[_id(dead_letter)])
        through = [dead_letter for dead_letter in dead_letters if _id(dead_letter) not in failures]
        self._table.mark(through, mark)
        result.sent += len(through)


def _by_size(dead_letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Pieces that one request can carry."""
    some: list[DeadLetter] = []
    size = 0
    for dead_letter in dead_letters:
        size += len(dead_letter["payload"])
        if some and size > _POST_BYTES_MAX:
            yield some
            some, size = [], len(dead_letter["payload"])
        some.append(dead_letter)
    if some:
        yield some


def _id(dead_letter: DeadLetter) -> str:
    return str(dead_letter["dead_letter_id"])
