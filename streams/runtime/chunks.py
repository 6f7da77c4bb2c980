"""Chunk delivery: Faust's consumer, changed to hand over one message for each (partition, fetch), not one a record.

Stock Faust spends 140 µs of CPU on a record before an agent sees it, most of it on four asyncio tasks; batching inside
the agent does not help, since each record has walked that path already. Here the fetched records of a partition travel
as one message whose value is the list of them. Agents, tables, the assignor and recovery stay Faust's.

The subclass also covers what 0.15.3 does wrong with commits and seeks:
- offsets are committed for the acknowledged *prefix* of the chunks delivered, so nothing in flight is stepped over;
- a fetch that raced a seek is thrown away, and the seek repeated;
- a source's records are delivered without a gap from its committed offset on: at a rebalance Faust drops fetches that
  have moved the position already, and what follows would be delivered before what was dropped;
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
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol

import faust
import structlog
from aiokafka.errors import IllegalStateError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.runtime.exits import Exit

_GAP_SEEKS: Final = 4
_LEAVE_S: Final = 10.0
_FETCH_BYTES_MIN: Final = 2**20  # a fetch that has so much does not wait
log = structlog.get_logger("streams.chunks")


class ChunkApp(Protocol):
    """What chunk delivery asks of the application beside what is Faust's."""

    chunk_records_max: int
    chunk_ms_max: int
    changelogs: Mapping[str, str]  # by source

    async def close_epoch(self) -> None:
        """Make everything taken so far durable."""


class ChunkSchema(faust.Schema):
    """Hands the list of records through as it is; decoding is the operators'."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.value


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, whose fetches wait for a chunk."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        chunk_app: ChunkApp = self.app
        consumer._fetch_max_wait_ms = chunk_app.chunk_ms_max
        consumer._fetch_min_bytes = _FETCH_BYTES_MIN
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
        # The last gap met: where it begins, where the log goes on, and how often it was met in a row.
        self._gaps: dict[TP, tuple[int, int, int]] = {}
        self._begins: dict[TP, int] = {}  # of each source: where its log began at the last seek
        self._expired_until: dict[TP, int] = {}
        # By topic: records that retention deleted before they were read.
        self.expired: dict[str, int] = defaultdict(int)

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        seek_count = self._seek_count
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active or self._seeking or seek_count != self._seek_count or self._is_gap_before(records):
            await self._seek_again()
            return
        chunk_records_max = self._chunk_app.chunk_records_max
        for record_tp, fetched in records.items():
            tp = ensure_TP(record_tp)
            if not self.flow_active or self.app.consumer_generation_id != generation:
                break
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            if self.app.topics.acks_enabled_for(tp.topic):
                self._next[tp] = fetched[-1].offset + 1
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            for start in range(0, len(fetched), chunk_records_max):
                chunk = self._to_chunk(tp, fetched[start : start + chunk_records_max])
                if self.app.topics.acks_enabled_for(tp.topic):
                    self._inflight[tp].append(chunk)
                yield tp, chunk

    def _is_gap_before(self, records: Mapping[Any, list[Any]]) -> bool:
        """Whether a source's records do not go on where those delivered ended.

        A gap that is still there after several seeks is the log's own: its beginning was deleted, say.
        """
        for record_tp, fetched in records.items():
            tp = ensure_TP(record_tp)
            if not fetched or not self.app.topics.acks_enabled_for(tp.topic):
                continue
            first, expected = fetched[0].offset, self._next.get(tp, -1)
            if expected >= 0 and first <= expected:
                continue
            begins, ends, times = self._gaps.get(tp, (-1, -1, 0))
            times = times + 1 if (begins, ends) == (expected, first) else 1
            if expected >= 0 and (times > _GAP_SEEKS or first <= self._begins.get(tp, -1)):
                log.warning("the log has a gap", topic=tp.topic, partition=tp.partition, after=expected, until=first)
                continue
            log.info("reading again from the commit", topic=tp.topic, partition=tp.partition, at=first, due=expected)
            self._gaps[tp] = expected, first, times
            return True
        return False

    async def _seek_again(self) -> None:
        try:
            await self.perform_seek()
        except IllegalStateError:
            # The partitions are being revoked: there is nothing to seek, and nothing to deliver either.
            log.info("seek skipped while partitions are being revoked")

    def _to_chunk(self, tp: TP, records: list[Any]) -> ConsumerMessage:
        last = records[-1]
        # Without generation_id a stream skips the message silently.
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000, 0, None, None, records, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def committed_offset(self, tp: TP) -> int:
        """The offset committed last; before the first, where the log began."""
        return self._committed_offset[tp] or self._begins.get(tp, 0)

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
            lost = begins - max(committed, self._expired_until.get(tp, 0))
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

    async def wait_empty(self) -> None:
        """Make the open epoch durable, then let Faust wait for what it thinks is still in flight."""
        await self._chunk_app.close_epoch()
        # The rest lay in queues that Faust has just cleared: no agent will see them, the next owner reads them again.
        self._inflight.clear()
        await super().wait_empty()


class ChunkTransport(driver.Transport):
    """aiokafka's transport with the chunk consumer."""

    Consumer = ChunkConsumer
