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
from sinks.replay.query import SENDING, SENT, STORED, Letter, event_name
from sinks.replay.reinsert import NoRowError, Redelivery

_FLUSH_S: Final = 30.0
_ANSWER_S: Final = 60.0
_POST_BYTES_MAX: Final = 16 * 2**20
_PROBLEMS_MAX: Final = 100


@dataclass(slots=True)
class Replayed:
    """What became of dead letters: how many were sent, needed not be, could not be; and of some of these, why not."""

    sent: int = 0
    stored: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)

    def fail(self, letter: Letter, why: str) -> None:
        """Count one that could not be sent."""
        self.failed += 1
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(f"dead letter {letter['dead_letter_id']} {why}")

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

    def take_again(self, letters: Sequence[Letter], write_keys: Mapping[str, str]) -> list[str]:
        """Of each "" once it is durable, or why it is refused again. Raises CollectorUnreachableError."""
        body = [
            {
                "deadLetterId": str(letter["dead_letter_id"]),
                "writeKey": write_keys[letter["project_id"]],
                "reason": letter["reason"],
                "payload": b64encode(letter["payload"]).decode(),
                "arrival": letter["arrival"],
                "firstSeenAt": letter["first_seen_ms"],
            }
            for letter in letters
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


class Notes(Protocol):
    """What is known of dead letters and projects: `sinks.letters.Letters`."""

    def write_keys(self) -> dict[str, str]:
        """A write key that is not disabled, by project id."""

    def stored(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of these events, by project id and message id, have a row already."""

    def mark(self, letters: Sequence[Letter], outcome: str) -> None:
        """Note what becomes of letters that are sent through again."""


class Taker(Protocol):
    """Who takes dead letters of the collector: `CollectorAdmin`."""

    def take_again(self, letters: Sequence[Letter], write_keys: Mapping[str, str]) -> list[str]:
        """Of each "" once it is durable, or why it is refused again. Raises CollectorUnreachableError."""


class Replayer:
    """`topics`: the broker's names of the topics that streams reads, and may be produced to again."""

    def __init__(
        self,
        letters: Notes,
        collector: Taker,
        producer: Producer,
        raw_events: Codec,
        topics: Collection[str],
        redelivery: Redelivery,
        pace_per_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._letters = letters
        self._collector = collector
        self._producer = producer
        self._raw_events = raw_events
        self._topics = topics
        self._redelivery = redelivery
        self._pause_s = 1.0 / pace_per_s if pace_per_s > 0 else 0.0
        self._sleep = sleep
        self._write_keys = letters.write_keys()

    def replay(self, page: Sequence[Letter]) -> Replayed:
        """Send some through; returns when they are durable."""
        result = Replayed()
        ways: dict[str, Callable[[Sequence[Letter], Replayed], None]] = {
            "collector": self._post, "streams": self._produce, "sinks": self._redeliver,
        }  # fmt: skip
        for letter in page:
            if letter["stage"] not in ways:
                result.fail(letter, f"is of an unknown stage {letter['stage']!r}")
        for stage, way in ways.items():
            if chosen := [letter for letter in page if letter["stage"] == stage]:
                way(chosen, result)
        if self._pause_s:
            self._sleep(self._pause_s * len(page))
        return result

    def _without_stored(
        self, letters: Sequence[Letter], names: Mapping[str, tuple[str, str]], result: Replayed
    ) -> list[Letter]:
        """Those whose event has no row yet; the others are marked and counted."""
        having = self._letters.stored([names[key] for key in names])
        there = [letter for letter in letters if names.get(_id(letter)) in having]
        self._letters.mark(there, STORED)
        result.stored += len(there)
        return [letter for letter in letters if names.get(_id(letter)) not in having]

    def _post(self, letters: Sequence[Letter], result: Replayed) -> None:
        known = []
        for letter in letters:
            if letter["project_id"] in self._write_keys:
                known.append(letter)
            else:
                result.fail(letter, f"is of project {letter['project_id']}, which has no write key that is enabled")
        left = self._without_stored(known, {_id(letter): event_name(letter) for letter in known}, result)
        for some in _by_size(left):
            self._post_some(some, result)

    def _post_some(self, letters: Sequence[Letter], result: Replayed) -> None:
        try:
            outcomes = self._collector.take_again(letters, self._write_keys)
        except CollectorUnreachableError as error:
            for letter in letters:
                result.fail(letter, f"is not sent: {error}")
            return
        judged = list(zip(letters, outcomes, strict=True))
        taken = [letter for letter, why in judged if not why]
        self._letters.mark(taken, SENT)
        result.sent += len(taken)
        for letter, why in judged:
            if why:
                result.fail(letter, f"is refused again: {why}")

    def _produce(self, letters: Sequence[Letter], result: Replayed) -> None:
        fit = []
        for letter in letters:
            if letter["source_topic"] not in self._topics:
                result.fail(letter, f"came from {letter['source_topic']!r}, which is no topic that streams reads")
            elif not letter["source_key"]:
                result.fail(letter, "has no key: its partition cannot be known")
            else:
                fit.append(letter)
        names = {_id(letter): name for letter in fit if (name := self._name_of(letter)) is not None}
        left = self._without_stored(fit, names, result)
        # First the note: the ledger must know of a place whose dead letter may soon stand at another.
        self._letters.mark(left, SENDING)
        failures: dict[str, str] = {}
        for letter in left:
            self._produce_one(letter, failures)
        if self._producer.flush(_FLUSH_S):
            self._producer.purge()
            self._producer.flush(_FLUSH_S)  # calls back for each that was not delivered
        for letter in left:
            if _id(letter) in failures:
                result.fail(letter, failures[_id(letter)])
        delivered = [letter for letter in left if _id(letter) not in failures]
        self._letters.mark(delivered, SENT)
        result.sent += len(delivered)

    def _produce_one(self, letter: Letter, failures: dict[str, str]) -> None:
        dead_letter_id = _id(letter)

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures[dead_letter_id] = f"is not delivered to {letter['source_topic']}: {error.str()}"

        self._producer.produce(
            letter["source_topic"],
            letter["payload"],
            key=letter["source_key"].encode(),
            headers=[(REPLAY_HEADER, dead_letter_id.encode())],
            on_delivery=on_delivery,
        )
        self._producer.poll(0)

    def _name_of(self, letter: Letter) -> tuple[str, str] | None:
        """Project id and message id of a raw event; None when it cannot be decoded, or is none."""
        try:
            record: Mapping[str, Any] = self._raw_events.decode(letter["payload"])
        except RecordInvalidError:
            return None
        return record["project_id"], record["message_id"]

    def _redeliver(self, letters: Sequence[Letter], result: Replayed) -> None:
        added = []
        for letter in letters:
            try:
                self._redelivery.add(letter)
                added.append(letter)
            except NoRowError as error:
                result.fail(letter, str(error))
        problems = self._redelivery.finish()
        for letter in added:
            if _id(letter) in problems:
                result.fail(letter, problems[_id(letter)])
        done = [letter for letter in added if _id(letter) not in problems]
        self._letters.mark(done, STORED)
        result.sent += len(done)


def _by_size(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    """Pieces that one request can carry."""
    some: list[Letter] = []
    size = 0
    for letter in letters:
        size += len(letter["payload"])
        if some and size > _POST_BYTES_MAX:
            yield some
            some, size = [], len(letter["payload"])
        some.append(letter)
    if some:
        yield some


def _id(letter: Letter) -> str:
    return str(letter["dead_letter_id"])
