"""The Faust application: agents, tables and settings. What is done with records reaches it as operators."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

import faust
from faust.types import TP, EventT

from schemas.metrics import StreamsMetrics
from schemas.settings import Settings
from schemas.topics import streams_group
from streams.runtime.breaker import DeadLimits
from streams.runtime.chunks import ChunkSchema, ChunkTransport
from streams.runtime.epochs import EpochLimits, Epochs, Membership
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Operator, StateCodec
from streams.runtime.publisher import Publisher
from streams.runtime.set_aside import SetAside
from streams.runtime.state_cache import StateCache
from streams.runtime.tables import WriteBehindTable

S = TypeVar("S")


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
        self._settings = settings

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
            Membership(lambda: self.consumer_generation_id, self.is_member, self.commit, self.committed),
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
        """Make everything taken so far durable."""
        await self.epochs.commit()

    def committed(self, topic: str, partition: int) -> int:
        """The offset that the group has committed last."""
        offset: int = self.consumer.committed_offset(TP(topic, partition))
        return offset

    def is_member(self) -> bool:
        """Whether the group's coordinator still knows this worker by the generation its chunks came with."""
        consumer = self.consumer._thread._consumer
        return consumer is not None and consumer._coordinator.generation == self.consumer_generation_id

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
        async for event in stream.noack().events():
            await app.epochs.add(event)
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
        "stream_buffer_maxsize": 32,  # counts chunks, not records
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
