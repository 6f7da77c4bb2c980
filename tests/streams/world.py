"""The worker's own code over a log in memory: chunks, epochs, kills at any operation, restarts from what is durable.

Everything that happens is decided by one random.Random, so a seed repeats it.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from faust.types import TP
from prometheus_client import CollectorRegistry

from schemas.codec import Codec
from schemas.metrics import StreamsMetrics
from schemas.outcomes import BotReason
from schemas.settings import MESSAGE_BYTES_MAX
from streams.conversations.chain import ConversationChain
from streams.conversations.settings import BusinessNumbers
from streams.conversations.state import ConversationStateCodec
from streams.events.chain import EventChain, Rules
from streams.events.lookups import CachedLookup, Lookups, Place, UserAgent
from streams.events.lookups.urls import PageUrl
from streams.identities.chain import ClaimChain
from streams.identities.state import IdentityStateCodec
from streams.runtime.breaker import DeadLimits
from streams.runtime.epochs import EpochLimits, Epochs, Membership
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Operator, Outgoing
from streams.runtime.publisher import PublishError
from streams.runtime.set_aside import SetAside
from streams.runtime.state_cache import StateCache
from streams.runtime.store import ShardStore
from streams.sessions.conversions import ConversionEvents
from streams.sessions.state import SessionStateCodec
from tests.streams.raw import IDS
from tests.streams.runtime.tables import FakeTable
from tests.streams.universe import CONVERSIONS, DEDUP, PARTITIONS, RULES, partition_of

RAW, CLAIMS, SIGNALS = "raw_events", "identity_claims", "conversation_signals"
SECRETS: Final = frozenset({"pin"})
GENERATION: Final = 3
HANDSHAKE_MS: Final = 10**15  # events of some histories are centuries apart
AHEAD_MS: Final = 7_200_000
Place_ = tuple[str, int]  # topic and partition
Headers = tuple[tuple[str, bytes], ...]


class Killed(BaseException):
    """The process was killed."""


class Fuse:
    """Blows at the operation of this number."""

    def __init__(self, operations: int) -> None:
        self.left = operations

    def burn(self) -> None:
        """One operation. Raises Killed."""
        self.left -= 1
        if self.left < 0:
            raise Killed


@dataclass(frozen=True)
class Record:
    """One record of the log, as a fetch brings it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int = -1  # unknown


@dataclass
class Log:
    """What is durable: records by topic and partition, committed offsets."""

    records: dict[Place_, list[Record]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[Place_, int] = field(default_factory=lambda: defaultdict(int))
    _ends: dict[Place_, int] = field(default_factory=lambda: defaultdict(int))

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
        """The new record's offset."""
        records = self.records[topic, partition]
        records.append(Record(self._ends[topic, partition], key, value, headers))
        self._ends[topic, partition] += 1
        return records[-1].offset

    def end(self, topic: str, partition: int) -> int:
        """The offset of the next record."""
        return self._ends[topic, partition]

    def compact(self, topic: str) -> None:
        """Of each key the last record stays, and no tombstone: an hour has passed, and a day."""
        for partition in range(PARTITIONS):
            records = self.records.get((topic, partition), [])
            last = {record.key: record.offset for record in records}
            self.records[topic, partition] = [
                record for record in records if record.offset == last[record.key] and record.value is not None
            ]

    def of(self, topic: str) -> list[tuple[int, Record]]:
        """Partition and record of all records of a topic."""
        return [
            (partition, record)
            for partition in range(PARTITIONS)
            for record in self.records.get((topic, partition), ())
        ]


class LogPublisher:
    """Queues records, and makes them durable when flushed; a kill leaves some of the queue durable, in order.

    It passes the same tests as the publisher to Kafka.
    """

    def __init__(self, log: Log, fuse: Fuse, chance: random.Random) -> None:
        self._log = log
        self._fuse = fuse
        self._chance = chance
        self._queued: dict[Place_, list[tuple[bytes | None, bytes | None, Headers]]] = defaultdict(list)
        self._tells_offsets = True
        self.gate: asyncio.Event | None = None  # what a flush waits for, as in a process that is suspended
        self.at_gate = asyncio.Event()

    def publish(self, topic: str, records: Sequence[Outgoing], partition: int = -1) -> None:
        self._fuse.burn()
        too_large = False
        for record in records:
            key = record["key"].encode() if isinstance(record["key"], str) else record["key"]
            if len(key) + len(record["value"] or b"") > MESSAGE_BYTES_MAX:
                too_large = True
                continue  # the others are queued all the same
            chosen = partition if partition >= 0 else record.get("partition", -1)
            place = topic, partition_of(key) if chosen < 0 else chosen
            self._queued[place].append((key, record["value"], ()))
        if too_large:
            raise PublishError(f"{topic}: a record is too large")

    def publish_one(self, topic: str, record: Outgoing, partition: int) -> None:
        self._queued[topic, partition].append((record["key"], record["value"], tuple(record["headers"])))

    def queued(self) -> int:
        return sum(map(len, self._queued.values()))

    async def flush(self) -> dict[TP, int]:
        self._fuse.burn()
        if self.gate is not None:
            self.at_gate.set()
            await self.gate.wait()
        reached = self._deliver(len)
        self._fuse.burn()
        return reached

    def spill(self) -> None:
        """What became of the queue when the process was killed."""
        self._deliver(lambda queue: self._chance.randint(0, len(queue)))

    def _deliver(self, how_many: Callable[[Sequence[object]], int]) -> dict[TP, int]:
        reached: dict[TP, int] = {}
        for (topic, partition), queue in self._queued.items():
            for key, value, headers in queue[: how_many(queue)]:
                reached[TP(topic, partition)] = self._log.append(topic, partition, key, value, headers)
        self._queued.clear()
        return reached if self._tells_offsets else {}


class ChunkMessage:
    """The message of a chunk: its place is that of its last record."""

    timestamp = 1.0

    def __init__(self, topic: str, partition: int, records: Sequence[Record], generation: int) -> None:
        self.topic = topic
        self.partition = partition
        self.value = records
        self.generation_id = generation
        self.start = records[0].offset

    @property
    def offset(self) -> int:
        return self.value[-1].offset

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)


class Chunk:
    """What Faust hands to an agent: the event of one chunk."""

    def __init__(self, topic: str, partition: int, records: Sequence[Record], generation: int = 1) -> None:
        self.value = records
        self.acked = False
        self.message = ChunkMessage(topic, partition, records, generation)

    def ack(self) -> None:
        self.acked = True


def simple_lookups() -> Lookups:
    """Lookups that know nothing."""
    return Lookups(
        user_agents=CachedLookup("user_agents", lambda text: UserAgent("", "", "", "", ""), 10, 100),
        robots=CachedLookup("robots", lambda text: BotReason.NONE, 10, 100),
        addresses=CachedLookup("addresses", lambda text: Place("", ""), 10, 100),
        urls=CachedLookup("urls", lambda text: PageUrl("", None, None, None), 10, 100),
    )


def conversions() -> ConversionEvents:
    """Those of the universe."""
    found = ConversionEvents()
    found.by_project = CONVERSIONS
    return found


def rules() -> Rules:
    """Those of the universe."""
    return Rules(dedup=DEDUP, sessions=RULES, generation=GENERATION, ahead_ms=AHEAD_MS)


class Seat:
    """A worker's place in the group: what it owns, in which generation, and whether the coordinator knows it still."""

    def __init__(self) -> None:
        self.owned = set(range(PARTITIONS))
        self.generation = 1
        self.is_known = True


class NotAMember(Exception):
    """Kafka has refused a commit: the group has gone on without this worker."""


class Life:
    """One life of a worker, from what is durable to its end. Its clock goes on with what it reads.

    evicted_after_ms: of silence, after which a state leaves.
    """

    def __init__(
        self, log: Log, chance: random.Random, operations: int, seat: Seat | None = None, evicted_after_ms: int = 10**12
    ) -> None:
        self.log = log
        self.seat = seat or Seat()
        self._chance = chance
        self._fuse = Fuse(operations)
        self._publishers = [LogPublisher(log, self._fuse, chance) for _ in range(2)]
        self._delivered: list[Chunk] = []
        self._read: dict[Place_, int] = {}
        self._now_s = 0.0
        self._tables = [FakeTable("sessions"), FakeTable("identities"), FakeTable("conversations")]
        for partition in self.seat.owned:
            self._begin(partition)
        now = lambda: 7  # noqa: E731
        looked_at_max = chance.randint(1, 5)
        evictor = Evictor(evicted_after_ms, looked_at_max, committed=self.committed)
        sessions = StateCache(self._tables[0], SessionStateCodec(), evictor)
        identities = StateCache(self._tables[1], IdentityStateCodec())
        customers = StateCache(self._tables[2], ConversationStateCodec())
        operators: list[Operator] = [
            EventChain(RAW, sessions, rules(), simple_lookups(), conversions(), IDS, now),
            ClaimChain(CLAIMS, identities, IDS, SECRETS, 100, HANDSHAKE_MS, GENERATION, now),
            ConversationChain(SIGNALS, customers, BusinessNumbers(), IDS, GENERATION, now),
        ]
        limits = EpochLimits(
            chunk_records_max=chance.randint(1, 8), chunk_ms_max=1, epoch_records_max=chance.randint(1, 12),
            epoch_ms_max=chance.choice((2_000, 10**9)),
        )  # fmt: skip
        self.outputs, self.changelogs = self._publishers
        membership = Membership(
            lambda: self.seat.generation, self._still_owns, self._commit, lambda *place: log.committed[place]
        )
        self.epochs = Epochs(
            operators, self.outputs, self.changelogs, lambda name: name, membership,
            limits, StreamsMetrics(CollectorRegistry()), DeadLimits(1, 1, 10**9), SetAside(""),
            clock=lambda: self._now_s,
        )  # fmt: skip

    async def run(self) -> bool:
        """Read to the end of the log; False when killed on the way."""
        try:
            while unread := self.unread():
                await self.read()
                if self._chance.random() < 0.2 or len(unread) == 1:
                    await self.epochs.commit()
        except Killed:
            self.spill()
            return False
        return True

    def spill(self) -> None:
        """It was killed: some of what was under way is durable."""
        for publisher in self._publishers:
            publisher.spill()

    def unread(self) -> list[Place_]:
        """Where records wait for it."""
        return [place for place, offset in self._read.items() if offset < len(self.log.records[place])]

    async def read(self) -> None:
        """Take one chunk, if there is any."""
        if unread := self.unread():
            self._now_s += self._chance.random()
            await self.epochs.add(self._fetch(self._chance.choice(unread)))

    async def tend(self) -> None:
        """Look at the changelogs, as a worker does every minute."""

        def is_owed() -> bool:
            for table in self._tables:
                for tp in table.store.known():
                    table.store.check_end(tp, self.log.end(*tp) - 1)
            return any(True for table in self._tables for _ in table.store.owed())

        await self.epochs.tend(is_owed)

    async def move(self, owned: set[int], generation: int) -> None:
        """What a rebalance brings, once the open epoch is durable."""
        assigned = {TP(table.changelog_topic_name, partition) for table in self._tables for partition in owned}
        for table in self._tables:
            await table.store.on_rebalance(assigned, set(), set(), generation)
        self._delivered.clear()
        kept = owned & self.seat.owned
        self._read = {place: self.log.committed[place] for place in self._read if place[1] in kept}
        new = owned - self.seat.owned
        self.seat.owned, self.seat.generation = owned, generation
        for partition in new:
            self._begin(partition)

    async def take(self, topic: str, partition: int, count: int) -> None:
        """Take the next records of a partition, so many, and make them durable."""
        await self.epochs.add(self._fetch((topic, partition), count))
        await self.epochs.commit()

    def _fetch(self, place: Place_, count: int | None = None) -> Chunk:
        start = self._read[place]
        records = self.log.records[place][start : start + (count or self._chance.randint(1, 10))]
        self._read[place] = start + len(records)
        chunk = Chunk(*place, records, self.seat.generation)
        self._delivered.append(chunk)
        return chunk

    def committed(self, partition: int) -> int:
        """How far raw_events are committed, as its evictor asks."""
        return self.log.committed[RAW, partition]

    async def _still_owns(self, ends: Mapping[Place_, int]) -> bool:
        self._fuse.burn()
        return self.seat.is_known  # which partitions whose are, the coordinator does not look at

    async def _commit(self, topics: set[str]) -> None:
        self._fuse.burn()
        if not self.seat.is_known:
            raise NotAMember
        while self._delivered and self._delivered[0].acked:
            chunk = self._delivered.pop(0)
            self.log.committed[chunk.message.topic, chunk.message.partition] = chunk.message.offset + 1
        self._fuse.burn()

    def _begin(self, partition: int) -> None:
        """Restore the states of a partition and read on from its commits."""
        for table in self._tables:
            self._restore(table.changelog_topic_name, partition, table.store)
        for topic in (RAW, CLAIMS):
            self._read[topic, partition] = self.log.committed[topic, partition]

    def _restore(self, changelog: str, partition: int, store: ShardStore) -> None:
        """As Faust does: the changelog in chunks of some size."""
        records = list(self.log.records.get((changelog, partition), ()))
        begins = 0
        store.expect(TP(changelog, partition), begins)
        while records:
            size = self._chance.randint(1, 5)
            chunk = Chunk(changelog, partition, records[:size])
            chunk.message.start, begins = begins, chunk.message.offset + 1  # whatever compaction has left
            store.apply_changelog_batch([chunk], bytes, bytes)
            records = records[size:]


def decoded(log: Log, topic: str) -> list[tuple[int, bytes, dict[str, Any]]]:
    """Partition, key and fields of every record of a topic; times in ms."""
    codec = Codec(topic, IDS)
    found = []
    for partition, record in log.of(topic):
        assert record.key is not None
        assert record.value is not None
        fields = codec.decode(record.value)
        for name, value in fields.items():
            if hasattr(value, "timestamp"):
                fields[name] = round(value.timestamp() * 1_000)
        found.append((partition, record.key, fields))
    return found
