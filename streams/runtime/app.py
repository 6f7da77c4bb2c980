"""The Faust application: agents, tables and settings. What is done with records reaches it as operators."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.types import TP, EventT

from schemas.metrics import StreamsMetrics
from schemas.settings import Settings
from schemas.topics import streams_group
from streams.runtime.breaker import DeadLimits
from streams.runtime.chunks import ChunkSchema, ChunkTransport, Delivered
from streams.runtime.epochs import EpochLimits, Epochs, Membership
from streams.runtime.eviction import Evictor
from streams.runtime.heap import give_back
from streams.runtime.operator import Operator, StateCodec
from streams.runtime.publisher import Publisher
from streams.runtime.set_aside import SetAside
from streams.runtime.state_cache import StateCache
from streams.runtime.tables import WriteBehindTable

S = TypeVar("S")
# How long a record of somebody else may stand in a changelog unseen. Compaction leaves an hour.
_TEND_S: Final = 60.0
_RESTORED_CHUNKS_MAX: Final = 4
log = structlog.get_logger("streams.app")


class App(faust.App):
    """A Faust app with chunk delivery and epochs: `open_states` for each table, then `operate`, then start."""

    epochs: Epochs
    chunk_records_max: int
    chunk_ms_max: int
    changelogs: Mapping[str, str]

    def __init__(self, settings: Settings) -> None:
        # The whole name of the group: Faust would put a version behind an id in a way of its own.
        super().__init__(settings.topic(streams_group(settings)), **_faust_settings(settings))
        self.chunk_records_max = settings.streams_chunk_records_max
        self.chunk_ms_max = settings.streams_chunk_ms_max
        self.state_tables: dict[str, WriteBehindTable] = {}
        self.state_caches: dict[str, StateCache[Any]] = {}
        self.evictors: dict[str, Evictor] = {}
        self.hot_keys: Callable[[int], Sequence[tuple[bytes, float]]] = lambda _: ()
        self.open_conversations: Callable[[], Mapping[str, int]] = dict
        self._settings = settings
        # Chunks of a restore that wait to be applied, of all partitions: each has the records of a whole fetch.
        self.tables._changelog_queue = self.FlowControlQueue(maxsize=_RESTORED_CHUNKS_MAX, clear_on_resume=True)

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    def open_states(self, name: str, codec: StateCodec[S], evictor: Evictor | None = None) -> StateCache[S]:
        """A table, and its states decoded; without an evictor they stay for ever."""
        self.state_tables[name] = self._add_table(name)
        if evictor is not None:
            self.evictors[name] = evictor
        cache = StateCache(self.state_tables[name], codec, evictor)
        self.state_caches[name] = cache
        return cache

    def operate(
        self, operators: Sequence[Operator], outputs: Publisher, changelogs: Publisher, metrics: StreamsMetrics
    ) -> None:
        """Have each operator work on the chunks of its topic."""
        settings = self._settings
        self.epochs = Epochs(
            operators,
            outputs,
            changelogs,
            settings.topic,
            Membership(lambda: self.consumer_generation_id, self.still_owns, self.commit, self.committed),
            EpochLimits(
                chunk_records_max=settings.streams_chunk_records_max,
                chunk_ms_max=settings.streams_chunk_ms_max,
                epoch_records_max=settings.streams_epoch_records_max,
                epoch_ms_max=settings.streams_epoch_ms_max,
            ),
            metrics,
            DeadLimits(
                share_max=settings.streams_dead_share_max,
                share_records=settings.streams_dead_share_records,
                run_max=settings.streams_dead_run_max,
            ),
            SetAside(settings.streams_set_aside),
        )
        self.changelogs = {
            operator.topic: self.state_tables[operator.table].changelog_topic_name for operator in operators
        }
        for operator in operators:
            topic = self.topic(operator.topic, schema=ChunkSchema(), partitions=settings.partitions)
            self.agent(topic, name=f"streams.{operator.table}")(_deliver_to(self))

    async def close_epoch(self) -> None:
        """Make everything taken so far durable: the group will be divided anew, or this worker ends."""
        await self.epochs.close_generation()

    def restore_from(self, offsets: Mapping[TP, int]) -> None:
        """Recovery reads these changelogs from these offsets on.

        Where that is behind the last offset there is no record, and what stands there later is somebody's. How far
        aiokafka has read says nothing of it: it takes records, too, that are given to nobody.
        """
        stores = {table.changelog_topic_name: table.store for table in self.state_tables.values()}
        recovery = self.tables.recovery
        for tp, offset in offsets.items():
            last, known = recovery.active_highwaters.get(tp), recovery.active_offsets.get(tp)
            if last is not None and known is not None and known >= last:
                stores[tp.topic].set_persisted_offset(tp, last)
            stores[tp.topic].expect(tp, offset)

    async def tend(self) -> None:
        """Look at the ends of our changelogs now and then, also of those to which nothing is written; until cancelled.

        Operators of which something comes of time alone have their epoch then, too.

        Ends the process when somebody else has written to one: states are restored anew, and written again where his
        would outlive newer ones. Freed memory is given back on the way.
        """
        while True:
            await asyncio.sleep(_TEND_S)
            give_back()
            try:
                ends = await self._changelog_ends()
            except KafkaError as error:
                log.warning("the ends of the changelogs cannot be read", error=repr(error))
                continue
            await self.epochs.tend(partial(self._is_owed, ends))

    async def _changelog_ends(self) -> Mapping[TP, int]:
        known = [tp for table in self.state_tables.values() for tp in table.store.known()]
        return await self.consumer.highwaters(*known) if known and self._is_settled() else {}

    def _is_owed(self, ends: Mapping[TP, int]) -> bool:
        if not self._is_settled():
            return False
        stores = {table.changelog_topic_name: table.store for table in self.state_tables.values()}
        for tp, end in ends.items():
            stores[tp.topic].check_end(TP(*tp), end - 1)
        return any(True for store in stores.values() for _ in store.owed())

    def _is_settled(self) -> bool:
        return bool(self.started and self.rebalancing_count and not self.rebalancing and not self.in_recovery)

    def committed(self, topic: str, partition: int) -> int:
        """The offset that the group has committed last."""
        offset: int = self.consumer.committed_offset(TP(topic, partition))
        return offset

    def is_member(self) -> bool:
        """Whether the group's coordinator still knows this worker by the generation its chunks came with."""
        return bool(self._generation_known() == self.consumer_generation_id)

    def _generation_known(self) -> int:
        consumer = self.consumer._thread._consumer
        return int(consumer._coordinator.generation) if consumer is not None else -1

    async def still_owns(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Whether the coordinator takes a commit of this worker's, which tells it what is being made durable.

        The offsets are those of the last commit: nothing moves. `is_member` alone is what this process believes; after
        a pause it believes it until the coordinator's next answer. And its consumer may have joined again by itself
        while it waited, so that the commit was one of the new generation.
        """
        generation = self.consumer_generation_id
        taken = self.is_member() and await self.consumer.commit_again(ends)
        return bool(taken) and generation == self._generation_known()

    def _add_table(self, name: str) -> WriteBehindTable:
        table = WriteBehindTable(
            self,
            name=name,
            partitions=self._settings.partitions,
            key_type=bytes,
            value_type=bytes,
            schema=ChunkSchema(),
            recovery_buffer_size=4,
        )
        added: WriteBehindTable = self.tables.add(table)
        return added


def _deliver_to(app: App) -> Any:
    async def deliver(stream: Any) -> AsyncIterator[None]:
        event: EventT
        # noack: a plain stream acknowledges behind the agent's back, even when its body raises.
        fetches = stream.noack()
        async for event in fetches.events():
            # Faust's watch over streams asks of each partition, and is told of the fetch's last one alone.
            app.monitor.stream_inbound_time |= dict.fromkeys((chunk.tp for chunk in event.value), time.monotonic())
            chunks = [Delivered(chunk, app.consumer) for chunk in event.value]
            await app.epochs.add_fetch(chunks, more_waits=not fetches.channel.queue.empty())
            event.ack()  # of the fetch: the stream is done with it
            yield

    return deliver


def _faust_settings(settings: Settings) -> dict[str, Any]:
    """Faust's settings; the reasons stand beside those that are not its defaults."""
    return {
        "broker": ";".join(f"kafka://{host}" for host in settings.kafka_bootstrap.split(",")),
        "store": "memory://",
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replication_factor,
        "topic_disable_leader": True,
        "topic_allow_declare": False,  # they exist, changelogs too, by `python -m schemas apply`
        "autodiscover": False,
        "cython_optimizations": True,
        "stream_wait_empty": True,  # a rebalance waits until the open epoch is durable
        "stream_buffer_maxsize": 2,  # of each source: counts fetches; then reading waits
        "stream_recovery_delay": 0.0,
        "broker_max_poll_records": None,
        "broker_commit_interval": 5.0,  # epochs commit; this is only a backstop
        "broker_commit_every": None,
        "broker_session_timeout": 15.0,
        "broker_heartbeat_interval": 3.0,
        "broker_rebalance_timeout": 30.0,
        "broker_request_timeout": 40.0,
        "consumer_max_fetch_size": 4 * 2**20,
        "consumer_auto_offset_reset": "earliest",  # anything else hangs the restore of a compacted changelog
        "consumer_group_instance_id": settings.streams_instance_id,
        "table_standby_replicas": 0,
        "agent_supervisor": "mode.CrashingSupervisor",  # the default restarts an agent past the event that failed
        "processing_guarantee": "at_least_once",
        "web_enabled": False,
        "web_port": settings.streams_admin_port or 6066,
        "debug": False,
    }
