"""Epochs among fakes: an operator, publishers and chunks that note what is asked of them in one journal."""

import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from faust.types import TP
from prometheus_client import CollectorRegistry

from schemas.column_codec import Invalid
from schemas.metrics import StreamsMetrics
from schemas.outcomes import DeadReason
from streams.runtime.breaker import DeadLimits
from streams.runtime.envelope import Bodies
from streams.runtime.epochs import EpochLimits, Epochs, Membership
from streams.runtime.operator import BadRecordsError, EpochEnd, Outgoing, Outputs, Records
from streams.runtime.publisher import PublishError
from streams.runtime.set_aside import SetAside
from streams.runtime.state_cache import StateCache
from tests.streams.runtime.tables import FakeTable
from tests.streams.world import Chunk, Fuse, Log, LogPublisher, Record

NO_LIMITS: Final = DeadLimits(share_max=1, share_records=1, run_max=10**9)


_BODIES: Final = Bodies[list[int]](
    "counts",
    1,
    lambda state: b",".join(str(value).encode() for value in state),
    {1: lambda body: [int(text) for text in body.split(b",")]},
)


class Counts:
    """A state that is the list of values folded in, behind the offset applied."""

    clipped = 0

    def new(self) -> list[int]:
        return [-1]

    def encode(self, state: list[int]) -> bytes:
        return _BODIES.seal(state[0], 0, state)

    def decode(self, value: bytes) -> list[int]:
        return _BODIES.open(value)[2]


@dataclass
class FakeOperator:
    """Appends each record's value to the state of its key, and publishes it; fails where told to, half-way."""

    journal: list[str]
    topic: str = "t.raw"
    name: str = "raw_events"
    table: str = "sessions"
    poison: frozenset[int] = frozenset()
    fatal: Mapping[int, Exception] = field(default_factory=dict)  # what is raised at these values
    store: FakeTable = field(default_factory=lambda: FakeTable("sessions"))
    confirmed: list[Mapping[TP, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._states: StateCache[list[int]] = StateCache(self.store, Counts())

    def process(self, records: Records) -> Outputs:
        self.journal.append(f"process {len(records)}")
        outputs = Outputs()
        left: list[tuple[int, int]] = []
        for partition, offset, key, value in zip(
            records.partitions, records.offsets, records.keys, records.values, strict=True
        ):
            assert key is not None
            assert value is not None
            state = self._states.state_of(partition, key)
            if offset <= state[0]:
                outputs.replayed += 1
                continue
            state[0] = offset
            state.append(int(value))
            if int(value) in self.poison:
                index = records.offsets.index(offset)
                raise BadRecordsError([Invalid(index, DeadReason.STEP_FAILED, f"poison {int(value)}")])
            if int(value) in self.fatal:
                raise self.fatal[int(value)]
            outputs.add("enriched_events", [{"key": key, "value": value, "partition": partition}])
            outputs.kept += 1
            left.append((partition, offset))
        if left:
            outputs.sources = tuple(np.array(left).T)
        return outputs

    def dead_letters(self, records: Records, bad: Iterable[Invalid]) -> Outputs:
        outputs = Outputs()
        for one in bad:
            outputs.dead[one.reason] = outputs.dead.get(one.reason, 0) + 1
            value = records.values[one.index]
            outputs.add("dead_letters", [{"key": b"", "value": value, "detail": one.detail}])
        return outputs

    def is_due(self) -> bool:
        return False

    def end_epoch(self) -> EpochEnd:
        outputs = Outputs()
        if len(self._states):
            outputs.add("sessions", [{"key": b"", "value": b"%d" % len(self._states)}])
        return EpochEnd(outputs, self._states.end_epoch())

    def confirm(self, reached: Mapping[TP, int]) -> None:
        self.journal.append("confirm")
        self.confirmed.append(reached)
        self._states.confirm(reached)

    def rollback(self) -> None:
        self.journal.append("rollback")
        self._states.rollback()

    def states(self) -> dict[bytes, list[int]]:
        """What is durable."""
        return {
            key: Counts().decode(value) for shard in self.store.store.shards.values() for key, value in shard.items()
        }


class FakePublisher(LogPublisher):
    """Notes what it is asked, in one journal with everything else; fails where told to, and then for good.

    fails_at: "publish" takes all but the last record, "flush" delivers all but what the last partition got.
    """

    def __init__(self, name: str, journal: list[str], log: Log | None = None, *, offsets: bool = False) -> None:
        super().__init__(log or Log(), Fuse(sys.maxsize), random.Random(0))
        self._tells_offsets = offsets
        self.name = name
        self.journal = journal
        self.records: list[tuple[str, int, Outgoing]] = []
        self.fails_at = ""

    def publish(self, topic: str, records: Sequence[Outgoing], partition: int = -1) -> None:
        self.journal.append(f"{self.name} publish {topic} {len(records)}")
        taken = records[:-1] if self.fails_at == "publish" else records
        self.records += [(topic, partition, record) for record in taken]
        super().publish(topic, taken, partition)
        if self.fails_at == "publish":
            raise PublishError(f"{topic}: no room")

    def publish_one(self, topic: str, record: Outgoing, partition: int) -> None:
        self.journal.append(f"{self.name} publish {topic} 1")
        self.records.append((topic, partition, record))
        super().publish_one(topic, record, partition)

    async def flush(self) -> dict[TP, int]:
        self.journal.append(f"{self.name} flush")
        if self.fails_at == "flush":
            last = next(reversed(self._queued.values()), None)
            self._deliver(lambda queue: 0 if queue is last else len(queue))
            raise PublishError("not delivered")
        return await super().flush()

    def values(self, topic: str) -> list[int]:
        """The numbers published to a topic, in order."""
        return [int(record["value"]) for name, _, record in self.records if name == topic]


class JournalChunk(Chunk):
    """A chunk whose acknowledgement is in the journal."""

    def __init__(
        self, journal: list[str], topic: str, partition: int, records: Sequence[Record], generation: int
    ) -> None:
        super().__init__(topic, partition, records, generation)
        self._journal = journal
        self.was_acked = asyncio.Event()

    def ack(self) -> None:
        self._journal.append(f"ack {self.message.offset}")
        self.was_acked.set()
        super().ack()


class EpochRig:
    """Epochs among fakes."""

    def __init__(
        self,
        *,
        poison: Sequence[int] = (),
        fatal: Mapping[int, Exception] | None = None,
        limits: EpochLimits | None = None,
        dead_limits: DeadLimits = NO_LIMITS,
        set_aside: str = "",
    ) -> None:
        self.journal: list[str] = []
        self.operator = FakeOperator(self.journal, poison=frozenset(poison), fatal=fatal or {})
        self.claims = FakeOperator(self.journal, topic="t.claims", name="identity_claims", table="identities",
                                 store=FakeTable("identities"))  # fmt: skip
        self.outputs = FakePublisher("outputs", self.journal)
        self.changelogs = FakePublisher("changelogs", self.journal, offsets=True)
        self.generation = 1
        self.is_member = True
        self.commits_are_refused = False
        self.committed: dict[tuple[str, int], int] = defaultdict(int)
        self.now_s = 100.0
        self.registry = CollectorRegistry()
        self.epochs = Epochs(
            [self.operator, self.claims],
            self.outputs,
            self.changelogs,
            lambda name: f"t.{name}",
            Membership(lambda: self.generation, self._still_owns, self._commit, lambda *place: self.committed[place]),
            replace(
                limits or EpochLimits(chunk_records_max=100, chunk_ms_max=1, epoch_records_max=1_000, epoch_ms_max=500),
                last_look_s=0,
            ),
            StreamsMetrics(self.registry),
            dead_limits,
            SetAside(set_aside),
            clock=lambda: self.now_s,
        )
        self._ends: dict[str, int] = {}
        self._follows: dict[tuple[str, int, int], int] = {}

    async def _still_owns(self, ends: Mapping[tuple[str, int], int]) -> bool:
        self.journal.append(f"still owns {dict(ends)}")
        return self.is_member

    async def _commit(self, topics: set[str]) -> None:
        self.journal.append(f"commit {sorted(topics)}")
        if not self.commits_are_refused:
            self.committed |= {(topic, partition): end for topic, end in self._ends.items() for partition in range(4)}

    def chunk(self, *values: int, topic: str = "t.raw", partition: int = 0, generation: int = 1) -> JournalChunk:
        start = self._ends.get(topic, 0)
        self._ends[topic] = start + len(values)
        records = [
            Record(start + index, b"key", b"%d" % value, timestamp=1_000 * value) for index, value in enumerate(values)
        ]
        chunk = JournalChunk(self.journal, topic, partition, records, generation)
        # All partitions take their offsets from one row of numbers: what is not in one is a hole of its log.
        chunk.message.start = self._follows.get((topic, partition, generation), 0)
        self._follows[topic, partition, generation] = self._ends[topic]
        return chunk

    async def add(self, chunk: Chunk) -> None:
        await self.epochs.add(chunk)

    def counted(self, topic: str, outcome: str, reason: str = "") -> float:
        labels = {"topic": topic, "outcome": outcome, "reason": reason}
        return self.registry.get_sample_value("tally_streams_records_total", labels) or 0.0
