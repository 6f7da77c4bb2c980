"""The Faust application: agents, tables and settings. Everything else reaches it as an argument."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import EventT

from schemas.metrics import StreamsMetrics
from schemas.registry import SchemaIds
from schemas.settings import MESSAGE_BYTES_MAX, Settings
from streams.events import operator as raw_events
from streams.events.chain import Pipeline, Rules
from streams.events.deduplicate import DedupRules
from streams.events.lookups import Lookups
from streams.identities import chain as identity_claims
from streams.runtime.chunks import ChunkSchema, ChunkTransport
from streams.runtime.epochs import EpochLimits, Epochs, Membership, Source
from streams.runtime.eviction import Evictor
from streams.runtime.publisher import Publisher
from streams.runtime.tables import WriteBehindTable
from streams.sessions.conversions import ConversionEvents
from streams.sessions.state import SessionRules

_CHANGELOG_CONFIG = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": "3600000",  # see schemas.topics: a late write must not hide the newer value
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
    "segment.ms": "3600000",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is given: everything that talks to the world or to the clock."""

    ids: SchemaIds
    lookups: Lookups
    conversions: ConversionEvents
    outputs: Publisher
    changelogs: Publisher
    metrics: StreamsMetrics
    now_ms: Any  # () -> int


class App(faust.App):
    """A Faust app with chunk delivery and epochs."""

    epochs: Epochs
    chunk_records_max: int
    evictor: Evictor
    state_tables: dict[str, WriteBehindTable]

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    def is_member(self) -> bool:
        """Whether the group's coordinator still knows this worker by the generation its chunks came with."""
        consumer = self.consumer._thread._consumer
        return consumer is not None and consumer._coordinator.generation == self.consumer_generation_id


def app_id(settings: Settings) -> str:
    """The Faust app's id, from which the group and the changelogs are named; Faust appends the generation."""
    return f"{settings.topic_prefix}{settings.streams_app_id}"


def create_app(settings: Settings, parts: Parts) -> App:
    """The application, ready to be started. Builds no connection."""
    app = App(app_id(settings), version=settings.streams_generation, **_faust_settings(settings))
    app.chunk_records_max = settings.streams_chunk_records_max
    app.evictor = Evictor(settings.streams_dedup_window_s * 1000 + settings.streams_lateness_s_max * 1000)
    app.state_tables = {name: _table(app, name, settings) for name in (raw_events.TABLE, identity_claims.TABLE)}
    sources: list[Source] = [
        raw_events.RawEvents(
            settings.topic("raw_events"),
            app.state_tables[raw_events.TABLE],
            Pipeline(rules(settings), parts.lookups, parts.ids),
            parts.conversions,
            app.evictor,
            parts.now_ms,
        ),
        identity_claims.IdentityClaims(
            settings.topic("identity_claims"),
            app.state_tables[identity_claims.TABLE],
            parts.ids,
            frozenset(filter(None, settings.streams_secret_traits.lower().split(","))),
            settings.streams_links_max,
            settings.streams_generation,
            parts.now_ms,
        ),
    ]
    app.epochs = Epochs(
        sources,
        parts.outputs,
        parts.changelogs,
        settings.topic,
        Membership(lambda: app.consumer_generation_id, app.is_member, app.commit),
        EpochLimits(
            chunk_records_max=settings.streams_chunk_records_max,
            chunk_ms_max=settings.streams_chunk_ms_max,
            epoch_records_max=settings.streams_epoch_records_max,
            epoch_ms_max=settings.streams_epoch_ms_max,
        ),
        parts.metrics,
    )
    for source in sources:
        topic = app.topic(source.topic, schema=ChunkSchema(), partitions=settings.partitions)
        app.agent(topic, name=f"streams.{source.table}")(_deliver_to(app))
    return app


def rules(settings: Settings) -> Rules:
    """The pipeline's rules, from the settings."""
    gap_ms = settings.streams_session_gap_s * 1000
    return Rules(
        dedup=DedupRules(settings.streams_dedup_window_s, settings.streams_seen_ids_max),
        sessions=SessionRules(
            gap_ms=gap_ms,
            lateness_ms=settings.streams_lateness_s_max * 1000,
            cells_max=max(1, settings.streams_session_s_max * 1000 // gap_ms),
        ),
        generation=settings.streams_generation,
        source_topic=settings.topic("raw_events"),
    )


def _deliver_to(app: App) -> Any:
    async def deliver(stream: Any) -> AsyncIterator[None]:
        event: EventT
        # noack: a plain stream acknowledges behind the agent's back, even when its body raises.
        async for event in stream.noack().events():
            await app.epochs.add(event)
            yield

    return deliver


def _table(app: App, name: str, settings: Settings) -> WriteBehindTable:
    table = WriteBehindTable(
        app,
        name=name,
        partitions=settings.partitions,
        key_type=bytes,
        value_type=bytes,
        schema=ChunkSchema(),
        recovery_buffer_size=4,
        extra_topic_configs=_CHANGELOG_CONFIG,
    )
    added: WriteBehindTable = app.tables.add(table)
    return added


def _faust_settings(settings: Settings) -> dict[str, Any]:
    """Faust's settings; the reasons stand beside those that are not its defaults."""
    return {
        "broker": ";".join(f"kafka://{host}" for host in settings.kafka_bootstrap.split(",")),
        "store": "memory://",
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replication_factor,
        "topic_disable_leader": True,
        "topic_allow_declare": True,  # changelogs; the others exist by `python -m schemas apply`
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
