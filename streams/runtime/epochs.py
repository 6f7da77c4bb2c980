"""Epochs: what is made durable together, and in which order.

    collect chunks ─▶ process ─▶ 1. outputs durable ─▶ 2. states durable on the changelogs ─▶ 3. ack, commit offsets

Every state carries the highest source offset applied to it, and a record at or below it is skipped. That is right only
because of this order: a state that is durable proves that the outputs of its records are. Killed during 1 or 2, the
next worker computes again what is not in a state yet, and repeats outputs with the same ids; killed between 2 and 3 it
skips everything. States before outputs would lose outputs.
"""

import asyncio
import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog

from schemas.column_codec import Invalid
from schemas.dead_letters import replay_of
from schemas.metrics import StreamsMetrics
from schemas.registry import RegistryUnavailableError
from streams.runtime.breaker import Breaker, DeadLimits, TooManyDeadError
from streams.runtime.envelope import UnreadableStateError
from streams.runtime.exits import Exit
from streams.runtime.invariants import BrokenInvariantError, Invariants
from streams.runtime.newest import tombstone_headers
from streams.runtime.operator import BadRecordsError, Changes, Operator, Outgoing, Outputs, Reached, Records
from streams.runtime.publisher import Publisher
from streams.runtime.schemas_apart import SchemaAbsentError
from streams.runtime.set_aside import SetAside
from streams.runtime.store import ForeignRecordsError

_BACKLOG_FACTOR: Final = 6
# How often is looked whether an epoch is old enough, and for what is left of a backlog, in shares of a fetch's wait.
_TICK_SHARE: Final = 0.5
_REGISTRY_PAUSE_S: Final = 2.0
log = structlog.get_logger("streams.epochs")


@dataclass(frozen=True, slots=True)
class EpochLimits:
    """When chunks are processed and when an epoch ends."""

    chunk_records_max: int
    chunk_ms_max: int
    epoch_records_max: int
    epoch_ms_max: int
    last_look_s: float = 12.0  # how long the metrics of a broken invariant are there to be read: two scrapes


class StepFailedError(RuntimeError):
    """A step failed on a record that it does not call bad. Nothing of the epoch may be committed."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The worker's place in the consumer group, as Faust and the coordinator see it.

    still_owns: asks the coordinator, which refuses whoever it has given up; given the end of what is being made durable
    of each partition. committed: the offset committed last, of a topic by its name and a partition.
    """

    generation: Callable[[], int]
    still_owns: Callable[[Mapping[tuple[str, int], int]], Awaitable[bool]]
    commit: Callable[[set[str]], Awaitable[Any]]
    committed: Callable[[str, int], int]


class Chunk(Protocol):
    """The records that one fetch brought of a partition: `value`. Its message has topic, partition, offsets (`start`,
    that of its first record, and `offset`, of its last), the broker's time of the last in s, and `generation_id`.
    """

    @property
    def message(self) -> Any: ...
    @property
    def value(self) -> Sequence[Any]: ...
    def ack(self) -> None:
        """It is durable."""


class Epochs:
    """Collects the chunks of all topics that this worker reads and makes them durable together."""

    def __init__(
        self,
        operators: Sequence[Operator],
        outputs: Publisher,
        changelogs: Publisher,
        topic_name: Callable[[str], str],
        membership: Membership,
        limits: EpochLimits,
        metrics: StreamsMetrics,
        dead_limits: DeadLimits,
        set_aside: SetAside,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operators = {operator.topic: operator for operator in operators}
        self._breakers = {operator.topic: Breaker(operator.name, dead_limits) for operator in operators}
        self._set_aside = set_aside
        self._outputs = outputs
        self._changelogs = changelogs
        self._topic_name = topic_name
        self._membership = membership
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._lock = asyncio.Lock()
        self._waiting: list[Chunk] = []  # chunks not processed yet
        self._waiting_records = 0
        self._processed: list[Chunk] = []  # chunks of the open epoch
        self._processed_records = 0
        self._bad: dict[tuple[str, int, int], Invalid] = {}  # found in it, by topic, partition, offset
        self._processing = False
        self._invariants, self._generation = Invariants(), -1
        self._closed_generation: int | None = None
        self._published: Counter[str] = Counter()  # by topic: records that are not durable yet
        self._behind = False  # the last chunk was full: there is a backlog
        self._opened_at = 0.0  # when the oldest chunk arrived that is not durable
        self.last_commit_at = clock()
        # By topic's name and partition: the broker's time, in seconds since 1970, of the newest record committed.
        self.reached_at: dict[tuple[str, int], float] = {}

    @property
    def topics(self) -> dict[str, str]:
        """What is read: the broker's name of each topic, and that in schemas.topics."""
        return {topic: operator.name for topic, operator in self._operators.items()}

    async def add(self, chunk: Chunk) -> None:
        """Take a chunk; returns at once unless processing is behind, which then holds the stream back."""
        if not self._waiting and not self._processed and not self._processing:
            self._opened_at = self._clock()
        if (first_ms := chunk.value[0].timestamp) >= 0:  # else unknown
            place = self._operators[chunk.message.topic].name, chunk.message.partition
            self.reached_at.setdefault(place, first_ms / 1000)  # all before it is committed
        self._waiting.append(chunk)
        self._waiting_records += len(chunk.value)
        if self._waiting_records >= self._limits.chunk_records_max:
            await self._guarded(self._advance)
            await asyncio.sleep(0)  # chunks of one fetch follow each other at once, and others have work, too

    async def add_fetch(self, chunks: Iterable[Chunk], more_waits: bool = False) -> None:
        """Take what one fetch brought of a topic. It is processed now: it has waited at the broker for as long as it
        may (`streams.runtime.chunks`). What fills no chunk waits for the next fetch where that is here already
        (`more_waits`), and with a backlog, where it soon is.
        """
        for chunk in chunks:
            await self.add(chunk)
        if self._waiting and not (more_waits or self._behind):
            await self._guarded(self._advance)

    async def run(self) -> None:
        """Process what a backlog has left, and commit what has waited long enough; until cancelled."""
        while True:
            await asyncio.sleep(self._limits.chunk_ms_max / 1000 * _TICK_SHARE)
            if self._waiting or self._processed:
                await self._guarded(self._advance)

    async def commit(self) -> None:
        """Make everything taken so far durable, now."""
        await self._guarded(self._close)

    async def close_generation(self) -> None:
        """Make everything taken so far durable before the group is divided anew.

        A chunk that still comes of this generation is dropped: its records come again with the next one. Until then the
        coordinator takes no commit, which would look as if somebody else owned the partitions.
        """

        async def close() -> None:
            await self._close()
            self._closed_generation = self._membership.generation()

        await self._guarded(close)

    async def tend(self, is_owed: Callable[[], bool]) -> None:
        """Between two epochs, see whether states have to be written although no record touched them, and write them.

        So are those of operators of which something comes of time alone.

        What `is_owed` raises ends the process.
        """

        async def write_if_owed() -> None:
            if is_owed() or any(operator.is_due() for operator in self._operators.values()):
                await (self._close() if self._processed else self._make_durable())

        await self._guarded(write_if_owed)

    def oldest_seconds(self) -> float:
        """Age of the oldest chunk that is not durable; 0 when there is none."""
        at_work = self._waiting or self._processed or self._processing
        return self._clock() - self._opened_at if at_work else 0.0

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        """Nothing unexpected may end in an acknowledgement: the process ends, without a commit, and is restarted."""
        try:
            async with self._lock:
                await self._watched(step)
        except asyncio.CancelledError:
            raise
        except TooManyDeadError as error:
            log.critical("too many dead letters; ending the process without a commit", why=str(error))
            os._exit(Exit.TOO_MANY_DEAD)
        except StepFailedError as error:
            log.critical("a step failed; ending the process without a commit", why=str(error), exc_info=error)
            os._exit(Exit.STEP_FAILED)
        except UnreadableStateError as error:
            log.critical("a state cannot be read; ending the process without a commit", error=str(error))
            os._exit(Exit.STATE_UNREADABLE)
        except ForeignRecordsError as error:
            log.critical("somebody else writes to our changelogs; ending without a commit", why=str(error))
            os._exit(Exit.FOREIGN_RECORDS)
        except BaseException:
            log.exception("the epoch failed; ending the process without a commit")
            os._exit(Exit.FAILED)

    async def _watched(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except BrokenInvariantError as error:
            self._metrics.invariants_broken_total.labels(error.invariant).inc()
            log.critical("an invariant is broken; ending the process without a commit", why=str(error))
            # With the lock held nothing goes on; meanwhile somebody reads the counter.
            await asyncio.sleep(self._limits.last_look_s)
            os._exit(Exit.INVARIANT_BROKEN)

    async def _advance(self) -> None:
        await self._process_waiting()
        # With a backlog larger epochs cost less, since a session is written once an epoch; nobody waits for fresh rows.
        limit_ms = self._limits.epoch_ms_max * (_BACKLOG_FACTOR if self._behind else 1)
        aged = (self._clock() - self._opened_at) * 1000 >= limit_ms
        if self._processed and (aged or self._processed_records >= self._limits.epoch_records_max):
            await self._close()

    async def _process_waiting(self) -> None:
        self._processing = True
        try:
            await self._process_chunks()
        finally:
            self._processing = False

    async def _process_chunks(self) -> None:
        self._behind = self._waiting_records >= self._limits.chunk_records_max
        waiting, self._waiting, self._waiting_records = self._waiting, [], 0
        # A chunk of an earlier generation belongs to somebody else by now, and its state may not be here.
        generation = self._membership.generation()
        is_open = generation != self._closed_generation
        chunks = [chunk for chunk in waiting if is_open and chunk.message.generation_id == generation]
        if any(chunk.message.generation_id != generation for chunk in self._processed):
            self._drop_processed()
        if generation != self._generation:
            self._invariants, self._generation = Invariants(), generation
        for message in (chunk.message for chunk in chunks):
            committed = self._membership.committed(message.topic, message.partition)
            self._invariants.take((message.topic, message.partition), message.start, message.offset + 1, committed)
        for topic, operator in self._operators.items():
            mine = [chunk for chunk in chunks if chunk.message.topic == topic]
            if mine:
                records = to_records(mine)
                started = self._clock()
                await self._take(operator, records)
                self._metrics.chunk_seconds.observe(self._clock() - started)
                self._metrics.chunk_records.observe(len(records))
        self._processed += chunks
        self._processed_records += sum(len(chunk.value) for chunk in chunks)

    def _drop_processed(self) -> None:
        """Forget the open epoch, of an earlier generation: its records come again, here or elsewhere.

        What was published of it is repeated then, as after a worker that was killed.
        """
        log.info("the group was divided anew; an epoch that was open is read again", records=self._processed_records)
        for operator in self._operators.values():
            operator.rollback()
        self._processed, self._processed_records = [], 0
        self._bad.clear()
        self._opened_at = self._clock()

    async def _take(self, operator: Operator, records: Records) -> None:
        """Process records and publish what comes of them; those that are bad become dead letters, alone."""
        parts = [records]
        while (made := await self._made_of(operator, parts)) is None:
            # What failed left half-changed states: what came before it in this epoch is processed again, too. Its
            # outputs are repeated, at or below the offsets that were published already.
            operator.rollback()
            self._invariants.repeat(operator.topic)
            earlier = [chunk for chunk in self._processed if chunk.message.topic == operator.topic]
            parts = [*(to_records([chunk]) for chunk in earlier), records]
        for outputs, excused in made:
            breaker = self._breakers[operator.topic]
            breaker.note(outputs, excused)
            self._metrics.dead_share.labels(operator.name).set(breaker.share)
            if outputs.sources is not None:
                self._invariants.leave(operator.topic, *outputs.sources)
            self._publish(operator, outputs)

    async def _made_of(self, operator: Operator, parts: Sequence[Records]) -> list[tuple[Outputs, int]] | None:
        """Outputs, and how many of their dead letters are nobody's concern; None when more bad records were found."""
        made: list[tuple[Outputs, int]] = []
        for part in parts:
            rest = part
            if bad := self._bad_among(operator, part):
                set_aside = len(self._set_aside.among(operator.name, part))
                made.append((operator.dead_letters(part, bad.values()), set_aside + len(part.replays)))
                rest = part.only([place for place in range(len(part)) if place not in bad])
            try:
                if len(rest):
                    made.append((await self._process(operator, rest), len(rest.replays)))
            except BadRecordsError as error:
                log.warning("records are bad; going on without them", topic=operator.topic, why=str(error))
                for one in error.bad:
                    self._bad[operator.topic, rest.partitions[one.index], rest.offsets[one.index]] = one
                return None
            except UnreadableStateError:
                raise  # says nothing of the records
            except Exception as error:
                raise StepFailedError(_culprit(operator, rest)) from error
        return made

    def _bad_among(self, operator: Operator, records: Records) -> dict[int, Invalid]:
        """The records that are not processed: set aside by the operator, or found bad in this epoch; by index."""
        found = {one.index: one for one in self._set_aside.among(operator.name, records)}
        if self._bad:
            for index, place in enumerate(zip(records.partitions, records.offsets, strict=True)):
                if (one := self._bad.get((operator.topic, *place))) is not None:
                    found[index] = replace(one, index=index)
        return found

    async def _process(self, operator: Operator, records: Records) -> Outputs:
        """Its outputs. A registry that is away when a new schema comes is waited for: its records are not bad.

        Records are decoded before any state is looked at, so that doing it again is safe.
        """
        while True:
            try:
                return operator.process(records)
            except SchemaAbsentError as absent:
                try:
                    await asyncio.get_running_loop().run_in_executor(None, absent.fetch)
                except RegistryUnavailableError as error:
                    log.warning("records wait for their schema", topic=operator.topic, error=str(error))
                    await asyncio.sleep(_REGISTRY_PAUSE_S)

    def _publish(self, operator: Operator, outputs: Outputs) -> None:
        for topic, records in outputs.records.items():
            self._outputs.publish(self._topic_name(topic), records)
            self._published[topic] += len(records)
        for outcome, reason, count in outputs.counts():
            self._metrics.records_total.labels(operator.name, outcome, reason).inc(count)
        for (kind, fact_outcome), count in outputs.facts.items():
            self._metrics.conversation_facts_total.labels(kind, fact_outcome).inc(count)
        for handshake, count in outputs.handshakes.items():
            self._metrics.handshakes_total.labels(handshake).inc(count)
        for remark, count in outputs.remarks.items():
            self._metrics.remarks_total.labels(operator.name, remark).inc(count)

    async def _close(self) -> None:
        """Process what waits, make it durable, acknowledge it."""
        await self._process_waiting()
        if not self._processed:
            return
        started = self._clock()
        await self._make_durable()
        for chunk in self._processed:
            chunk.ack()
        done, self._processed = self._processed, []
        self._metrics.epoch_records.observe(self._processed_records)
        self._processed_records = 0
        self._bad.clear()
        if self._waiting:
            self._opened_at = self._clock()
        await self._membership.commit({chunk.message.topic for chunk in done})
        now = self._clock()
        self._metrics.epoch_seconds.observe(now - started)
        for message in (chunk.message for chunk in done):
            # A commit may be refused: then somebody else reads these records again, and nothing has moved.
            if self._membership.committed(message.topic, message.partition) > message.offset:
                self.reached_at[self._operators[message.topic].name, message.partition] = message.timestamp
                self.last_commit_at = now

    async def _make_durable(self) -> None:
        ends = [(operator, operator.end_epoch()) for operator in self._operators.values()]
        for operator, end in ends:
            self._publish(operator, end.outputs)
        await self._outputs.flush()
        for topic, count in self._published.items():
            self._metrics.published_total.labels(topic).inc(count)
        self._published.clear()
        self._invariants.outputs_durable(self._outputs.queued())
        await self._end_unless_owner()
        for operator, end in ends:
            self._invariants.write(operator.topic, end.changes.applied)
        reached = await self._write_states([end.changes for _, end in ends])
        for operator, _ in ends:
            operator.confirm(reached)

    async def _end_unless_owner(self) -> None:
        messages = [chunk.message for chunk in self._processed]
        ends = {(message.topic, message.partition): message.offset + 1 for message in messages}
        generation = self._membership.generation()
        of_today = all(message.generation_id == generation for message in messages)
        if not (of_today and await self._membership.still_owns(ends)):
            # Paused for longer than the session timeout: somebody else owns the partitions and has newer states.
            log.critical("no longer a member of the group; ending without writing states")
            os._exit(Exit.NOT_A_MEMBER)

    async def _write_states(self, changes: Iterable[Changes]) -> Reached:
        """Make states durable; how far the changelogs are then."""
        for of_table in changes:
            for partition, pairs in of_table.by_partition.items():
                gone = of_table.gone.get(partition, {})
                records: list[Outgoing] = [{"key": key, "value": value} for key, value in pairs if key not in gone]
                self._changelogs.publish(of_table.changelog, records, partition)
                for key, applied in gone.items():
                    tombstone = {"key": key, "value": None, "headers": tombstone_headers(applied)}
                    self._changelogs.publish_one(of_table.changelog, tombstone, partition)
        return await self._changelogs.flush()


def _culprit(operator: Operator, records: Records) -> str:
    """Which record a step fails on, for people: the last of the shortest beginning on which it fails again."""

    def fails(count: int) -> bool:
        operator.rollback()
        try:
            operator.process(records.part(0, count))
        except Exception:
            return True
        return False

    if not fails(len(records)):
        return f"{operator.name}: not again when tried again; nothing is wrong with the records"
    last = bisect_left(range(len(records)), True, key=lambda place: fails(place + 1))
    return (
        f"at {operator.name}/{records.partitions[last]}/{records.offsets[last]}; when nothing else helps, "
        "TALLY_STREAMS_SET_ASIDE with this place makes the record a dead letter"
    )


def to_records(chunks: Sequence[Chunk]) -> Records:
    """The records of chunks as columns; a chunk's value is the list of records one fetch brought for a partition."""
    partitions: list[int] = []
    offsets: list[int] = []
    keys: list[bytes] = []
    values: list[bytes | None] = []
    replays: dict[tuple[int, int], str] = {}
    appended_ms: list[int] = []
    for chunk in chunks:
        fetched = chunk.value
        partitions += [chunk.message.partition] * len(fetched)
        offsets += [record.offset for record in fetched]
        keys += [record.key for record in fetched]
        values += [record.value for record in fetched]
        appended_ms += [record.timestamp for record in fetched]
        for record in [record for record in fetched if record.headers]:
            if (dead_letter_id := replay_of(record.headers)) is not None:
                replays[chunk.message.partition, record.offset] = dead_letter_id
    return Records(partitions, offsets, keys, values, replays, appended_ms)
