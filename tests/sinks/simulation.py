"""Sinks that come, go, die, hang and lose answers between a broker and a table in memory, from a seed."""

import random
from contextlib import suppress
from functools import cache

from sinks.batching import watermark
from sinks.batching.batch import Batch
from sinks.errors import ViewFailedError, WriteFailedError
from tests.sinks.memory import MemoryTable, MemoryView, MemoryWriter
from tests.sinks.memory_group import MemoryBroker, Record, SimSink
from tests.sinks.records import framed

PARTITIONS = 3
SOURCES = 60
STEPS = 250


@cache
def value(partition: int, source: int) -> bytes:
    return framed(watermark.offset_of(source), partition, watermark.generation_of(source))


@cache
def places() -> dict[bytes, int]:
    """The partition of each value."""
    sources = [watermark.pack(generation, offset) for generation in (1, 2) for offset in range(SOURCES)]
    return {value(partition, source): partition for partition in range(PARTITIONS) for source in sources}


def log(dice: random.Random, partition: int) -> list[Record]:
    """What streams leave: sources in order, with stretches repeated, in two generations, with gaps in the log."""
    sources: list[int] = []
    for generation in (1, 2):
        at = 0
        while at < SOURCES:
            stop = min(SOURCES, at + dice.randint(1, 15))
            sources += [watermark.pack(generation, offset) for offset in range(at, stop)]
            at = max(0, stop - dice.choice([0, 0, 0, 3, 10])) if stop < SOURCES else stop
    offset, records = 0, []
    for source in sources:
        records.append((offset, value(partition, source)))
        offset += dice.choice([1] * 20 + [4])
    return records


def _nothing(_value: bytes) -> bool:
    return False


def _everything(_value: bytes) -> bool:
    return True


def _some(value: bytes) -> bool:
    return sum(value[-40:]) % 7 == 3


class Simulation:
    """The table, the broker, and the sinks that live, with a clock that the steps move."""

    def __init__(
        self,
        seed: int,
        forgets_tokens: bool,
        view: MemoryView | None = None,
        lags: bool = False,
        credulous: bool = False,
    ) -> None:
        self.dice = random.Random(seed)
        self.now = 0.0
        self.table = MemoryTable(views=[] if view is None else [view])
        self.view = view
        self.lags = lags
        self.credulous = credulous
        self.dead_letters = 0
        self.forgets_tokens = forgets_tokens
        self.whole = {partition: log(self.dice, partition) for partition in range(PARTITIONS)}
        self.broker = MemoryBroker(self.dice, {partition: [] for partition in self.whole})
        self.sinks: list[SimSink] = []
        self.late: list[tuple[Batch, float]] = []

    def add(self) -> None:
        """One more sink joins."""
        writer = MemoryWriter(self.table, partition_of=places().__getitem__, credulous=self.credulous)
        # Where tokens are forgotten at once, a batch of an earlier moment cannot be trusted to be this owner's.
        trust_s = 0.0 if self.forgets_tokens else 1e9
        self.sinks.append(SimSink(self.broker, writer, lambda: self.now, self.dice.choice([3, 10, 30]), trust_s))

    def kill(self) -> None:
        """A sink dies; what it was sending arrives before, later or never."""
        sink = self.sinks.pop(self.dice.randrange(len(self.sinks)))
        self.dead_letters += len(sink.dead_letters.published)
        fate = self.dice.random()
        if fate < 0.4:
            sink.write_thread.work()
        elif fate < 0.7 and not self.forgets_tokens:
            self.late += [(write.batch, self.now + self.dice.randint(1, 30)) for write in sink.write_thread.waiting]
        if sink.consumer in self.broker.members:
            self.broker.expel(sink.consumer)

    def hang(self) -> None:
        """A sink is not heard of, loses its partitions, and goes on without knowing."""
        sink = self.dice.choice(self.sinks)
        if sink.consumer in self.broker.members:
            self.broker.expel(sink.consumer)

    def grow(self) -> None:
        """Streams write a little more."""
        for partition, records in self.whole.items():
            have = len(self.broker.logs[partition])
            self.broker.logs[partition] = records[: have + self.dice.randint(0, 6)]

    def trouble(self) -> None:
        """The next insert of some sink fails, with or without its rows."""
        self.dice.choice(self.sinks).writer.troubles.append((WriteFailedError("lost"), self.dice.random() < 0.5))

    def rejoin(self) -> None:
        """Sinks that know they were expelled join again."""
        for sink in self.sinks:
            if sink.consumer not in self.broker.members and sink.consumer.is_bare:
                self.broker.members.append(sink.consumer)
                self.broker.rebalance()

    def arrive(self) -> None:
        """Requests of the dead reach the server now."""
        due = [batch for batch, at in self.late if at <= self.now]
        self.late = [(batch, at) for batch, at in self.late if at > self.now]
        for batch in due:
            with suppress(ViewFailedError):
                MemoryWriter(self.table, partition_of=places().__getitem__).insert(batch.rows, batch.token)

    def operate(self) -> None:
        """Somebody breaks the view or mends it; a server falls behind for a while."""
        if self.view is not None and self.dice.random() < 0.1:
            self.view.fails = self.dice.choice([_nothing, _nothing, _everything, _some])
        if self.lags and self.dice.random() < 0.1:
            self.table.lag(self.dice.randint(0, 3))

    def step(self) -> None:
        """One thing happens."""
        self.now += self.dice.random()
        self.grow()
        self.arrive()
        if not self.sinks or (len(self.sinks) < 3 and self.dice.random() < 0.1):
            self.add()
        happening = self.dice.random()
        if happening < 0.06:
            self.kill()
        elif happening < 0.1:
            self.hang()
        elif happening < 0.14:
            self.broker.rebalance()
        elif happening < 0.24:
            self.trouble()
        if self.forgets_tokens and self.dice.random() < 0.2:
            self.table.forget_tokens()
        self.operate()
        self.dice.shuffle(self.sinks)
        for sink in self.sinks:
            if self.dice.random() < 0.8:
                sink.loop.step()
                sink.delivery.idle()
        if self.dice.random() < 0.5:
            self.rejoin()

    def finish(self) -> None:
        """No more accidents: the rest of the log comes, and one sink does all."""
        self.broker.logs = self.whole
        if self.view is not None:
            self.view.fails = _nothing
        self.table.catch_up()
        while self.sinks:
            self.kill()
        self.now += 100
        self.arrive()
        self.add()
        for _ in range(600):
            self.now += 1
            self.sinks[0].loop.step()
            self.sinks[0].delivery.idle()

    def live(self) -> int:
        """Everything, to the end; how many rows stood before the accidents were over."""
        for _ in range(STEPS):
            self.step()
        stood = len(self.table.sources)
        self.finish()
        return stood

    @property
    def is_right(self) -> bool:
        """Whether each source stands in the table once."""
        return sorted(self.table.sources) == EXPECTED

    def at_rest(self) -> bool:
        """Whether everything is acknowledged and nothing planned."""
        return all(
            self.broker.commits[partition][0] == self.broker.end(partition)
            and "end=-" in self.broker.commits[partition][1]
            for partition in self.whole
        )


EXPECTED = sorted(
    (partition, watermark.pack(generation, offset))
    for partition in range(PARTITIONS)
    for generation in (1, 2)
    for offset in range(SOURCES)
)
