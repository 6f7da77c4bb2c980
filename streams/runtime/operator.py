"""The contract: what the runtime asks of an operator, and what it gives one to keep states in. Pure.

    every chunk           process(records) ─▶ outputs
    every epoch           end_epoch() ─▶ outputs ─▶ durable ─▶ changed states ─▶ durable ─▶ confirm(), ack, commit
    BadRecordsError       rollback(): the states are again what was durable last; the rest is processed without them
    any other exception   ends the process without a commit

The runtime imports no domain, and the domains import of the runtime this file and `envelope` alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from schemas.column_codec import Invalid
from schemas.outcomes import DeadReason, DropReason, FactOutcome, HandshakeOutcome, Outcome, Remark
from schemas.settings import MESSAGE_BYTES_MAX

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
Outgoing = dict[str, Any]  # `key`, `value`, and `partition` where the key's hash does not choose it
Integers = npt.NDArray[np.integer]
Reached = Mapping[tuple[str, int], int]  # the last offset written of each topic and partition of the changelogs

# The largest output, key and value. The rest of a message is Kafka's.
OUTPUT_BYTES_MAX: Final = MESSAGE_BYTES_MAX - 1024


class BadRecordsError(ValueError):
    """Some of the records can't go on, by their own fault: `bad` says which and why, all that the step knows of.

    The only exception that makes dead letters. Whatever else a step raises is a fault of ours or of the machine, and
    would make dead letters of sound records.
    """

    def __init__(self, bad: Sequence[Invalid]) -> None:
        self.bad = bad
        super().__init__(f"{len(bad)} records, the first: {bad[0].reason}: {bad[0].detail}")


def too_large(index: int, size: int, what: str) -> Invalid:
    """Why a record can't go on of which an output of so many bytes, key and value, would come."""
    detail = f"its {what} would have {size} bytes, at most {OUTPUT_BYTES_MAX}"
    return Invalid(index, DeadReason.OUTPUT_TOO_LARGE, detail)


@dataclass(frozen=True, slots=True)
class Records:
    """What fetches brought: equally long columns, in offset order within each partition.

    replays: by partition and offset, the dead letter that a record is the replay of; most are none. appended_ms: when
    the broker took each record, below 0 where unknown; empty when it is unknown of all.
    """

    partitions: Sequence[int]
    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    replays: Mapping[tuple[int, int], str] = field(default_factory=dict)
    appended_ms: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, start: int, end: int) -> "Records":
        """The records from start to before end."""
        return Records(
            self.partitions[start:end],
            self.offsets[start:end],
            self.keys[start:end],
            self.values[start:end],
            self.replays,
            self.appended_ms[start:end],
        )

    def only(self, indexes: Sequence[int]) -> "Records":
        """The records of these indexes, in this order."""
        return Records(
            [self.partitions[index] for index in indexes],
            [self.offsets[index] for index in indexes],
            [self.keys[index] for index in indexes],
            [self.values[index] for index in indexes],
            self.replays,
            [self.appended_ms[index] for index in indexes] if self.appended_ms else (),
        )


@dataclass(slots=True)
class Outputs:
    """Records for each topic, by the names of `schemas.topics`, and what became of the records that came in.

    sources: partitions and offsets of the records of which enriched events are published, in the events' order; None
    where there are none. facts: of conversations, by kind; handshakes: tokens that messages brought.
    """

    records: dict[str, list[Outgoing]] = field(default_factory=dict)
    kept: int = 0
    duplicates: int = 0
    replayed: int = 0
    dead: dict[DeadReason, int] = field(default_factory=dict)
    remarks: dict[Remark, int] = field(default_factory=dict)
    sources: tuple[Integers, Integers] | None = field(default=None, compare=False)
    facts: dict[tuple[str, FactOutcome], int] = field(default_factory=dict)
    handshakes: dict[HandshakeOutcome, int] = field(default_factory=dict)

    def remark(self, remark: Remark, count: int) -> None:
        """Note what happened to so many."""
        if count:
            self.remarks[remark] = self.remarks.get(remark, 0) + count

    def fact(self, kind: str, outcome: FactOutcome) -> None:
        """Note what became of a fact of a conversation."""
        self.facts[kind, outcome] = self.facts.get((kind, outcome), 0) + 1

    def handshake(self, outcome: HandshakeOutcome, count: int) -> None:
        """Note what became of so many messages that brought a token."""
        if count:
            self.handshakes[outcome] = self.handshakes.get(outcome, 0) + count

    def counts(self) -> Iterator[tuple[Outcome, str, int]]:
        """Outcome, reason and number of records that had it."""
        yield Outcome.KEEP, "", self.kept
        yield Outcome.DROP, DropReason.DUPLICATE, self.duplicates
        yield Outcome.DROP, DropReason.REPLAYED, self.replayed
        for reason, count in self.dead.items():
            yield Outcome.DEAD, reason, count

    def add(self, topic: str, records: Iterable[Outgoing]) -> None:
        """Append records of a topic."""
        self.records.setdefault(topic, []).extend(records)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a table's changelog gets: for each partition, keys and values, None for a key that leaves the table.

    changelog: the broker's name of the topic. clipped: states that were shortened, or no message could hold them.
    gone: the offset applied to the state of each key that leaves. applied: the highest of the states that changed, by
    partition; none of a partition where a state in the changelog has as high a one.
    """

    changelog: str
    by_partition: Mapping[int, Sequence[tuple[bytes, bytes | None]]]
    clipped: int = 0
    gone: Mapping[int, Mapping[bytes, int]] = field(default_factory=dict)
    applied: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """What an epoch leaves. The outputs must be durable before any of the changes is written."""

    outputs: Outputs
    changes: Changes


class Operator(Protocol):
    """What is done with the records of one topic. Changes states; publishes nothing itself.

    Nothing is processed between `end_epoch` and the `confirm` or `rollback` that follows it.
    """

    topic: str  # the broker's name
    name: str  # as in schemas.topics
    table: str

    def process(self, records: Records) -> Outputs:
        """Run the steps over records. Raises BadRecordsError when some of them can't go on.

        On an exception the states may be half changed: `rollback` follows.
        """

    def dead_letters(self, records: Records, bad: Iterable[Invalid]) -> Outputs:
        """Dead letters for some of the records. No state is looked at."""

    def is_due(self) -> bool:
        """Whether an epoch has to end although no record came, since time has passed."""

    def end_epoch(self) -> EpochEnd:
        """What is published once an epoch, and the states that changed. States lose what they need no more."""

    def confirm(self, reached: Reached) -> None:
        """What `end_epoch` gave is durable."""

    def rollback(self) -> None:
        """Forget the changes since the last `confirm`."""


class StateCodec(Protocol[S]):
    """How a state becomes a value in its envelope (`streams.runtime.envelope`), and what the state of a new key is.

    clipped: states encoded so far that had to be shortened.
    """

    clipped: int

    def new(self) -> S: ...
    def encode(self, state: S) -> bytes: ...
    def decode(self, value: bytes) -> S:
        """Raises UnreadableStateError."""


class States(Protocol[S_co]):
    """The states of an operator's table. A state is *touched* from when it was asked for to the next `confirm`."""

    def state_of(self, partition: int, key: bytes) -> S_co:
        """The state of a key, to be changed in place. One key in two partitions has two states."""

    def touched(self) -> Iterator[tuple[int, bytes, S_co]]:
        """Partition, key and state of every touched key."""

    def end_epoch(self) -> Changes:
        """The touched states, encoded, and the keys whose time has passed."""

    def confirm(self, reached: Reached) -> None:
        """The changes are durable: no state is touched any more. Raises RuntimeError before `end_epoch`."""

    def rollback(self) -> None:
        """The states are again what was durable last."""


class HeldStates(States[S_co], Protocol[S_co]):
    """The same, for an operator that asks what is there without changing it."""

    @property
    def version(self) -> int:
        """Another one when partitions have come or gone, or were restored."""

    def peek(self, partition: int, key: bytes) -> S_co | None:
        """The state of a key as it is in the open epoch, to be read; None when there is none."""

    def held(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Partition, key and durable value of every state."""
