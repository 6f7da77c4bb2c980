"""The database that the settings name: the one place outside its folder that knows which it is.

Another one is a folder beside `clickhouse/`, with a writer and three readers of these protocols, and a choice here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from schemas.column_codec import ColumnCodec
from schemas.settings import Settings
from sinks.batching.decode import version_reader
from sinks.batching.schema_texts import SchemaTexts
from sinks.clickhouse.answers import ClickHouseAnswers
from sinks.clickhouse.client import Client
from sinks.clickhouse.dead_letters import ClickHouseDeadLetters
from sinks.clickhouse.http import Connection, clickhouse_server
from sinks.clickhouse.ledger_tables import LedgerTables
from sinks.clickhouse.rollup_tables import ClickHouseRollups
from sinks.clickhouse.trace_tables import TraceTables
from sinks.clickhouse.writer import ClickHouseWriter
from sinks.failpoints import Failpoint, nothing
from sinks.ledger.evidence import AuditedTables
from sinks.ledger.trace import SearchedTables
from sinks.query.answers import Answers
from sinks.replay.query import DeadLetterTable
from sinks.rollups.buckets import RollupTables
from sinks.routes import Route
from sinks.write.attempts import DeadLetterPublisher, Way
from sinks.write.delivery import Delivery, DeliveryReport
from sinks.write.healing import Healing
from sinks.write.writer import Writer


@dataclass(frozen=True, slots=True)
class Reader:
    """What the ledger and the commands ask, on one connection, one thread at a time."""

    ledger: AuditedTables
    trace: SearchedTables
    dead_letters: DeadLetterTable
    rollups: RollupTables
    close: Callable[[], None]


def open_writer(settings: Settings, route: Route, schemas: SchemaTexts, failpoint: Failpoint = nothing) -> Writer:
    """Writes the route's table; connects when it is first used."""
    connection = Connection(clickhouse_server(settings))
    return ClickHouseWriter(connection, route, schemas, failpoint, settings.clickhouse_insert_quorum)


def open_delivery(
    settings: Settings,
    route: Route,
    writer: Writer,
    codec: ColumnCodec,
    dead_letters: DeadLetterPublisher,
    report: DeliveryReport,
    failpoint: Failpoint = nothing,
) -> Delivery:
    """The way of the route's batches to the writer. codec: of the route's topic."""
    pause_s_max = settings.sinks_retry_ms_max / 1000
    healing = Healing(writer, report, settings.sinks_heal_bytes_max, pause_s_max, time.monotonic)
    way = Way(route, writer, dead_letters, healing, failpoint)
    versions, trust_s = version_reader(codec, route.version), settings.sinks_session_ms_max / 1000
    return Delivery(way, versions, pause_s_max, trust_s, time.monotonic, report)


def open_answers(settings: Settings, timeout_s: float) -> Answers:
    """Answers the questions of the query pack. timeout_s: the longest wait for anything of an answer."""
    return ClickHouseAnswers(replace(clickhouse_server(settings), timeout_s=timeout_s))


def open_reader(settings: Settings, timeout_s: float | None = None, threads_max: int | None = None) -> Reader:
    """Asks questions; connects with the first. threads_max: how many of the server's threads one may take."""
    client = Client(settings, timeout_s, threads_max)
    return Reader(
        LedgerTables(client, settings),
        TraceTables(client, settings),
        ClickHouseDeadLetters(client),
        ClickHouseRollups(client),
        client.disconnect,
    )
