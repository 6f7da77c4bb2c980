"""Chunk delivery: Faust's consumer, changed to hand over one message for each (topic, fetch), not one a record.

Stock Faust spends 140 µs of CPU on a record before an agent sees it, most of it on four asyncio tasks; batching inside
the agent does not help, since each record has walked that path already. Here the fetched records of a partition are a
chunk, and all chunks that one fetch brought of a source travel as one message. Of changelogs each chunk is a message.
Agents, tables, the assignor and recovery stay Faust's.

The subclass also covers what 0.15.3 does wrong with commits and seeks:
- offsets are committed for the acknowledged *prefix* of the chunks delivered, so nothing in flight is stepped over;
- a fetch that raced a seek is thrown away, and the seek repeated;
- a source's records are delivered without a gap from its committed offset on: at a rebalance Faust drops fetches that
  have moved the position already, and what follows would be delivered before what was dropped. Offsets of which the
  broker brings nothing when asked again are the log's own: transactions' markers, and what they aborted;
- a changelog's are delivered without a gap from where recovery began (`streams.runtime.restores`);
- a partition without a commit is rewound to its beginning: aiokafka's seek-to-committed leaves it where it was;
- a fetch waits at the broker for as long as a chunk may take to fill, then brings what there is of all partitions: one
  that returned with the first record cost as much as two hundred records do, and one that waits for 1.5 s, as Faust's,
  holds up the partitions that it does not ask for;
- a source's partition is taken only with that of its changelog: the assignor leaves out topics that its broker has not
  heard of, and a worker would begin with empty states. A static member would get the same partitions for ever.
"""

import asyncio
import os
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

import faust
import structlog
from aiokafka.consumer import fetcher
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

from streams.runtime.exits import Exit
from streams.runtime.restores import Restores

_LEAVE_S: Final = 10.0
_FETCH_BYTES_MIN: Final = 2**20  # a fetch that has so much does not wait
# Of all partitions. Compressed: it is 50,000 states or 25,000 events, and two fetches are held at a time.
_FETCH_BYTES_MAX: Final = 8 * 2**20
log = structlog.get_logger("streams.chunks")


class ChunkApp(Protocol):
    """What chunk delivery asks of the application beside what is Faust's."""

    chunk_records_max: int
    chunk_ms_max: int
    changelogs: Mapping[str, str]  # by source

    async def close_epoch(self) -> None:
        """Make everything taken so far durable."""

    def restore_from(self, offsets: Mapping[TP, int]) -> None:
        """Restores of these changelogs begin, at these offsets."""


class ChunkMessage(ConsumerMessage):
    """A chunk. start: the offset of its first record; where a hole before it begins that is the log's own.

    Of a changelog: where the chunk before it in this restore ended, or the restore began.
    """

    __slots__ = ("start",)

    def __init__(self, start: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start = start


class FetchMessage(ConsumerMessage):
    """What one fetch brought of a source: `value` is a list of chunks, each of one partition. Its place is the last's.

    Nothing is committed for its sake: what is in flight are the chunks.
    """

    __slots__ = ()


class Delivered:
    """A chunk of a source as its agent gets it, to be acknowledged by itself."""

    __slots__ = ("_consumer", "message", "value")

    def __init__(self, message: ChunkMessage, consumer: Any) -> None:
        self.message = message
        self.value: list[Any] = message.value
        self._consumer = consumer

    def ack(self) -> None:
        """All that came of it is durable."""
        self.message.ack(self._consumer)


class ChunkSchema(faust.Schema):
    """Hands chunks through as they are; decoding is the operators'."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.value


class _DecodedRecords(fetcher.PartitionRecords):
    """The records of a fetch as aiokafka's decoder makes them: offset, timestamp, key, value, headers.

    aiokafka would make another object of each, with six fields more that nobody reads.
    """

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        return record


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, whose fetches wait for a chunk, and bring of transactions what was committed.

    When it is told to stop, the epoch is durable and committed; aiokafka would still wait for a rebalance under way,
    and so for members that are gone. Faust's minute for that is longer than what starts and stops workers waits.
    """

    shutdown_timeout = _LEAVE_S

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        chunk_app: ChunkApp = self.app
        fetcher.PartitionRecords = _DecodedRecords  # its consumers make them by this name
        consumer._fetch_max_wait_ms = chunk_app.chunk_ms_max
        consumer._fetch_min_bytes = _FETCH_BYTES_MIN
        consumer._fetch_max_bytes = _FETCH_BYTES_MAX
        consumer._isolation_level = "read_committed"  # as sinks and the ledger read; Faust's own is of its own ones
        return consumer


class ChunkConsumer(driver.Consumer):
    """Delivers chunks of the topics that operators read and of the changelogs, in offset order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chunk_app: ChunkApp = self.app
        self._inflight: dict[TP, deque[ConsumerMessage]] = defaultdict(deque)
        self._seek_count = 0
        self._seeking = 0  # seeks under way
        self._next: dict[TP, int] = {}  # of each source: the offset to be delivered next; none before its first seek
        # The gap met last, whose records are asked for again: where it begins, and where the log goes on.
        self._gaps: dict[TP, tuple[int, int]] = {}
        self._holes: dict[TP, tuple[int, int]] = {}  # confirmed last
        self._fetch: asyncio.Future[Any] | None = None
        self._fetch_began = 0  # after so many seeks
        self._restores = Restores()
        self._fetch_asked = 0  # after so many seeks of recovery
        self._begins: dict[TP, int] = {}  # of each source: where its log began at the last seek
        self._expired_until: dict[TP, int] = {}
        # By topic: records that retention deleted before they were read.
        self.expired: dict[str, int] = defaultdict(int)

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        of_topics: dict[str, list[ChunkMessage]] = {}
        async for tp, chunk in self._chunks(timeout):
            if self.app.topics.acks_enabled_for(tp.topic):
                of_topics.setdefault(tp.topic, []).append(chunk)
            else:
                yield tp, chunk
        for chunks in of_topics.values():
            # What is not handed over is read again: a seek follows.
            if not self.flow_active or self.app.consumer_generation_id != chunks[-1].generation_id:
                break
            yield chunks[-1].tp, _to_message(chunks)

    async def _chunks(self, timeout: float) -> AsyncIterator[tuple[TP, ChunkMessage]]:
        await self._read_again_what_was_passed_over()
        seek_count, records, active = await self._fetched(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        self._restores.take(ensure_TP(record_tp) for record_tp, fetched in records.items() if fetched)
        if not self.flow_active or self._seeking or seek_count != self._seek_count or self._is_unsought(records):
            await self._seek_again()
            return
        if not records:
            await self._ask_for_tails()
        chunk_records_max = self._chunk_app.chunk_records_max
        for record_tp, fetched in records.items():
            tp = ensure_TP(record_tp)
            if not self.flow_active or self.app.consumer_generation_id != generation:
                break
            if not fetched or (active is not None and tp not in active and tp not in self._buffered_partitions):
                continue
            is_source = self.app.topics.acks_enabled_for(tp.topic)
            if is_source:
                goes_on = await self._goes_on(tp, fetched[0].offset)
                # It may have asked the broker; what happened meanwhile makes this fetch one of the past.
                if seek_count != self._seek_count or self.app.consumer_generation_id != generation:
                    break
                if not goes_on:
                    continue
                self._next[tp] = fetched[-1].offset + 1
                from_offset = self._start(tp, fetched[0].offset)
            elif self._fetch_asked == self._restores.begun and self._restores.is_due(tp):
                from_offset = self._restores.deliver(tp, fetched[-1].offset + 1)
            else:
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            for start in range(0, len(fetched), chunk_records_max):
                chunk = self._to_chunk(tp, from_offset, fetched[start : start + chunk_records_max])
                from_offset = chunk.offset + 1
                if is_source:
                    self._inflight[tp].append(chunk)
                yield tp, chunk

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        self._fetch_asked = self._restores.begun
        return await super()._getmany(active_partitions, timeout)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Recovery's seek of changelogs, with which a restore begins."""
        changelogs = {tp: at for tp, at in partitions.items() if not self.app.topics.acks_enabled_for(tp.topic)}
        self._restores.begin(changelogs)
        self._chunk_app.restore_from(changelogs)
        await super().seek_wait(partitions)

    async def _read_again_what_was_passed_over(self) -> None:
        if self._fetch is None and (again := self._restores.passed_over()):
            log.info("reading changelogs again", partitions=sorted((tp.topic, tp.partition) for tp in again))
            await _unless_revoked(self._thread.seek_wait(again))

    async def _fetched(self, timeout: float) -> Any:
        """One fetch, and never two at a time: how many seeks there were when it began, its records, who is active.

        Of one that is cancelled the request goes on in the consumer's thread, where it moves the position and takes
        records: it is for the next call. Unless it fails: it was of an assignment that is no more.
        """
        is_of_before = self._fetch is not None
        if self._fetch is None:
            self._fetch_began = self._seek_count
            self._fetch = asyncio.ensure_future(self._wait_next_records(timeout))
            # At the end of the process nobody asks how the last one ended.
            self._fetch.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return self._fetch_began, *await asyncio.shield(self._fetch)
        except Exception as error:
            if not is_of_before:
                raise
            log.info("a fetch of before failed", error=repr(error))
            return self._fetch_began, None, None
        finally:
            if self._fetch.done():
                self._fetch = None

    def _is_unsought(self, records: Mapping[Any, list[Any]]) -> bool:
        """Whether there are records of a source of which nobody knows yet where it goes on."""
        tps = [ensure_TP(record_tp) for record_tp, fetched in records.items() if fetched]
        return any(tp not in self._next and self.app.topics.acks_enabled_for(tp.topic) for tp in tps)

    def _start(self, tp: TP, first: int) -> int:
        begins, ends = self._holes.get(tp, (first, first))
        return begins if ends == first else first

    async def _goes_on(self, tp: TP, first: int) -> bool:
        """Whether a source's records that begin with this offset go on where those delivered ended.

        If not, they are asked for again from there: this partition's alone, and once. Those that come then are what
        there is, since no other fetch was under way. So the holes of a log cost one request each.
        """
        expected = self._next.get(tp)
        if expected is None:
            return False  # revoked meanwhile
        if first <= expected:
            return True
        if self._gaps.pop(tp, None) == (expected, first):
            self._holes[tp] = expected, first
            log.info("the log has a gap", topic=tp.topic, partition=tp.partition, after=expected, until=first)
            return True
        self._begins |= dict(await self.earliest_offsets(tp))
        self._count_expired([tp])
        if first <= self._begins.get(tp, 0):
            self._holes[tp] = expected, first
            return True
        log.info("reading a partition again", topic=tp.topic, partition=tp.partition, at=first, due=expected)
        if await _unless_revoked(self._thread.seek_wait({tp: expected})):
            self._gaps[tp] = expected, first
        return False

    async def _seek_again(self) -> None:
        log.info("reading all partitions again from their commits")
        await _unless_revoked(self.perform_seek())

    def _to_chunk(self, tp: TP, start: int, records: list[Any]) -> ChunkMessage:
        last = records[-1]
        # Without generation_id a stream skips the message silently.
        return ChunkMessage(
            start, tp.topic, tp.partition, last.offset, last.timestamp / 1000, 0, None, None, records, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def committed_offset(self, tp: TP) -> int:
        """The offset committed last; before the first, where the log began."""
        return self._committed_offset[tp] or self._begins.get(tp, 0)

    def is_at_end(self, tp: TP) -> bool:
        """Whether all there is of a partition is committed, also when offsets without records follow the last one."""
        position = self._position(tp)
        asked_for_again = self._gaps.get(tp) == (self._committed_offset[tp], position)
        return asked_for_again and position == self.highwater(tp)

    def _position(self, tp: TP) -> int | None:
        """The offset that the next fetch of a partition asks for."""
        consumer = self._thread._consumer
        assignment = consumer._subscription.subscription.assignment if consumer is not None else None
        state = assignment.state_value(tp) if assignment is not None else None
        return state.position if state is not None and state.has_valid_position else None

    async def _ask_for_tails(self) -> None:
        """Nothing came. Where the position has passed offsets all the same, ask for them again, once."""
        for tp, expected in list(self._next.items()):
            position = self._position(tp)
            if position is not None and position > expected and self._gaps.get(tp) != (expected, position):
                await self._goes_on(tp, position)

    async def commit_again(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Commit what is committed already, with where it will end as metadata; whether the coordinator took it.

        It refuses who is not a member of its generation, and so tells a worker that was suspended. Without ends: of
        all the sources that are ours. Faust's own commit, now and then, waits for it and it for that: it would take
        back what the other has committed.
        """
        while await self.maybe_wait_for_commit_to_finish():
            pass
        self._commit_fut: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        try:
            return await self._commit_again(ends)
        finally:
            done, self._commit_fut = self._commit_fut, None
            notify(done)

    async def _commit_again(self, ends: Mapping[tuple[str, int], int]) -> bool:
        places = [TP(*place) for place in ends]
        if not places:
            places = [tp for tp in self.assignment() if tp.topic in self._chunk_app.changelogs]
        offsets = {
            self._new_topicpartition(*tp): OffsetAndMetadata(self.committed_offset(tp), f"until {ends.get(tp, '')}")
            for tp in places
        }
        try:
            await self._thread.call_thread(self._thread._ensure_consumer().commit, offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("the coordinator refuses this worker", error=str(error))
            return False
        return bool(places)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:
            # Faust notes them as committed all the same.
            for tp, offset in before.items():
                if self._committed_offset[tp] == offsets[tp]:
                    self._committed_offset[tp] = offset
        return bool(done)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes between offsets do not matter: what is committed is a chunk's last offset + 1."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset after the acknowledged prefix of the chunks delivered, if it moved."""
        chunks = self._inflight[tp]
        new: int | None = None
        while chunks and chunks[0].acked:
            new = chunks.popleft().offset + 1
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        if any(chunk.acked for chunk in chunks):
            # Acknowledgement is in delivery order, so the head never reached its agent. Only reading again helps.
            log.critical("a chunk went missing between fetch and agent", topic=tp.topic, partition=tp.partition)
            os._exit(Exit.CHUNK_MISSING)
        return new

    async def perform_seek(self) -> None:
        self._seek_count += 1
        self._seeking += 1
        try:
            self._inflight.clear()
            self._next.clear()
            self._gaps.clear()
            await super().perform_seek()
            sources = [tp for tp in self.assignment() if self.app.topics.acks_enabled_for(tp.topic)]
            fresh = [self._new_topicpartition(*tp) for tp in sources if not self._committed_offset[tp]]
            if fresh:
                await self._thread.seek_to_beginning(*fresh)
            if sources:
                self._begins = dict(await self.earliest_offsets(*sources))
                self._count_expired(sources)
            self._next |= {tp: self._committed_offset[tp] or 0 for tp in sources}
        finally:
            self._seeking -= 1
            self._seek_count += 1

    def _count_expired(self, sources: Sequence[TP]) -> None:
        for tp in sources:
            committed, begins = self._committed_offset[tp], self._begins.get(tp, 0)
            if not committed or begins <= committed:
                continue
            lost = begins - max(committed, self._expired_until.get(tp, 0), self._next.get(tp, 0))
            self._expired_until[tp] = begins
            if lost > 0:
                log.error("records were deleted before they were read", topic=tp.topic, partition=tp.partition, n=lost)
                self.expired[tp.topic] += lost

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        changelogs = self._chunk_app.changelogs
        lacking = {TP(changelogs[tp.topic], tp.partition) for tp in assigned if tp.topic in changelogs} - assigned
        if lacking:
            log.critical(
                "sources were assigned without their states; leaving the group, so that it divides them anew",
                changelogs=sorted({tp.topic for tp in lacking}),
                partitions=sorted({tp.partition for tp in lacking}),
            )
            try:
                await self._leave_group()
            finally:  # also when the coordinator does not answer
                os._exit(Exit.STATES_NOT_ASSIGNED)
        await super().on_partitions_assigned(assigned, generation_id)

    async def _leave_group(self) -> None:
        """Leave at once, also as a static member, who otherwise stays until its session is over."""
        coordinator = self._thread._consumer._coordinator
        coordinator._group_instance_id = None
        leaving = asyncio.run_coroutine_threadsafe(coordinator._maybe_leave_group(), self._thread.thread_loop)
        async with asyncio.timeout(_LEAVE_S):
            await asyncio.wrap_future(leaving)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # First the base class: it waits for `wait_empty`, which commits the open epoch while we are still the owner.
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._inflight.pop(tp, None)
            self._next.pop(tp, None)
        self._restores.forget(revoked)

    async def wait_empty(self) -> None:
        """Make the open epoch durable, then let Faust wait for what it thinks is still in flight."""
        await self._chunk_app.close_epoch()
        # The rest lay in queues that Faust has just cleared: no agent will see them, the next owner reads them again.
        self._inflight.clear()
        await super().wait_empty()


def _to_message(chunks: list[ChunkMessage]) -> FetchMessage:
    last = chunks[-1]
    return FetchMessage(
        last.topic, last.partition, last.offset, last.timestamp, 0, None, None, chunks, None, 0, 0, last.tp,
        generation_id=last.generation_id,
    )  # fmt: skip


async def _unless_revoked(seek: Awaitable[None]) -> bool:
    """Seek; False where the partitions are being revoked: there is nothing to seek, and nothing to deliver either."""
    try:
        await seek
    except IllegalStateError:
        log.info("seek skipped while partitions are being revoked")
        return False
    return True


class ChunkTransport(driver.Transport):
    """aiokafka's transport with the chunk consumer."""

    Consumer = ChunkConsumer
