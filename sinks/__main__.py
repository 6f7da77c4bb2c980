"""`python -m sinks`: topics into the database."""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Annotated, Any

import structlog
import typer
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from prometheus_client import CollectorRegistry

from schemas import logs
from schemas.codec import Codec
from schemas.column_codec import ColumnCodec
from schemas.command_line import Commands
from schemas.exits import SETTINGS, UNREACHABLE, settings_or_exit
from schemas.kafka import consumer_config, producer_config
from schemas.metrics import SinksMetrics
from schemas.registry import SchemaIds, open_ids
from schemas.registry_wait import wait_for_registry
from schemas.settings import Settings
from sinks.admin import AdminServer
from sinks.batching.batcher import Batcher, Limits, Resumption
from sinks.batching.decode import time_reader
from sinks.batching.filter import RecordFilter
from sinks.batching.schema_texts import SchemaTexts
from sinks.commands import dead_letters, query, rollups
from sinks.commands.ledger import ledger
from sinks.commands.replay import replay
from sinks.commands.trace import trace
from sinks.consume.assignment import Assignment
from sinks.consume.dispatch import Dispatcher
from sinks.consume.flush_age import FlushAge
from sinks.consume.loop import ConsumerLoop, Pace
from sinks.consume.report import Report
from sinks.database import open_delivery, open_reader, open_writer
from sinks.errors import TableUnfitError
from sinks.failpoints import Failpoint, from_environ
from sinks.ledger.kafka import KafkaTopics
from sinks.ledger.monitor import LedgerMonitor, Sources
from sinks.ledger.pages import Pages
from sinks.rollups.buckets import RollupTables
from sinks.rollups.monitor import RollupMonitor
from sinks.routes import DEAD_LETTERS, ROUTES, Route
from sinks.service import Part, Service, Start
from sinks.write.dead_letters import DeadLetterEncoder, KafkaDeadLetters
from sinks.write.report import Stops, WritingReport
from sinks.write.thread import WriteThread

EXIT_FAILED = 1
EXIT_TABLE_UNFIT = 3
_ROLLUPS_S = 900.0  # longest wait for a day of the roll-ups

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
log = structlog.get_logger()


app.command()(ledger)
app.command()(trace)
app.command()(replay)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(query.app, name="query")
app.add_typer(rollups.app, name="rollups")


@app.callback()
def main() -> None:
    """Topics into the database."""


@app.command()
def run(
    topics: Annotated[list[str] | None, typer.Argument(help="the topics to write; default: all")] = None,
) -> None:
    """Write topics into the database until SIGTERM.

    Exits 0 when told to stop, 1 on a failure, 2 on bad settings, 3 when a table is not what the contract says, 69 when
    Kafka does not answer, or has given this consumer's place to another: then it is to be started again.
    """
    settings = settings_or_exit()
    try:
        routes = [ROUTES[topic] for topic in topics or ROUTES]
        failpoint = from_environ(os.environ)
    except KeyError as error:
        typer.echo(f"no such topic: {error.args[0]}; there are {', '.join(ROUTES)}", err=True)
        raise typer.Exit(SETTINGS) from None
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(SETTINGS) from None
    logs.configure(settings)
    code = _serve(settings, routes, failpoint)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: it would wait for a request that hangs longer than the graceful stop may take.
    os._exit(code)


def _serve(settings: Settings, routes: list[Route], failpoint: Failpoint) -> int:
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    registry = CollectorRegistry()
    metrics = SinksMetrics(registry)
    ids = open_ids(settings.schema_registry_url, settings.topic_prefix)
    start = Start()
    admin = AdminServer(settings.admin_host, settings.sinks_admin_port, registry, start.stalled, start.unready)
    admin.start()
    asked = {*(route.topic for route in routes), DEAD_LETTERS, "raw_events"}  # the last for the ledger
    if not wait_for_registry(ids, asked, stopping.wait, start.waits):
        return 0
    producer = Producer(producer_config(settings))
    parts = [_part(route, settings, ids, producer, metrics, failpoint) for route in routes]
    service = Service(parts, stopping, settings.sinks_stop_ms_max / 1000, settings.sinks_retry_ms_max / 1000)
    start.service = service
    log.info("sinks run", topics=[route.topic for route in routes], admin_port=admin.port)
    for part in parts:
        if part.topic == "enriched_events" and settings.sinks_ledger_interval_s:
            monitor = _monitor(settings, ids, metrics, partial(part.owns, 0))
            Thread(target=monitor.run, args=(stopping,), name="ledger", daemon=True).start()
        if part.topic == "enriched_events" and settings.sinks_rollups_interval_s:
            keeper = _rollup_monitor(settings, metrics, partial(part.owns, 0))
            Thread(target=keeper.run, args=(stopping,), name="rollups", daemon=True).start()
    try:
        failure = service.run()
    except TableUnfitError as error:
        log.error("the database is not ready for this", error=str(error))
        return EXIT_TABLE_UNFIT
    log.info("sinks stopped", failed=failure is not None)
    if isinstance(failure, KafkaException):
        return UNREACHABLE
    return EXIT_FAILED if failure else 0


def _part(
    route: Route, settings: Settings, ids: SchemaIds, producer: Producer, metrics: SinksMetrics, failpoint: Failpoint
) -> Part:
    """Build one topic's consumer loop."""
    topic_name = settings.topic(route.topic)
    codec = ColumnCodec(route.topic, ids)
    schemas = SchemaTexts(route.topic, ids)
    writer = open_writer(settings, route, schemas, failpoint)
    stops = Stops(route.topic, metrics)
    writing = WritingReport(route.topic, metrics, stops)
    encoder = DeadLetterEncoder(topic_name, codec, Codec(DEAD_LETTERS, ids), settings.streams_generation, time.time)
    publisher = KafkaDeadLetters(producer, settings.topic(DEAD_LETTERS), encoder)
    delivery = open_delivery(settings, route, writer, codec, publisher, writing, failpoint)
    write_thread = WriteThread(route.topic, delivery.deliver, delivery.idle, delivery.close)
    consumer = Consumer(_consumer_config(settings, route))
    limits = Limits(settings.sinks_flush_rows_max, settings.sinks_flush_bytes_max)
    age_s_max = settings.sinks_flush_age_ms_max / 1000
    # Rows that replace one another wait the whole time: the later ones of a batch spare the earlier.
    age = FlushAge(age_s_max if route.version else settings.sinks_flush_age_ms_min / 1000, age_s_max)
    assignment = Assignment(
        consumer,
        topic_name,
        partial(_batcher, route, schemas, limits),
        write_thread,
        time.monotonic,
        settings.sinks_revoke_ms_max / 1000,
    )
    log_end = partial(_log_end, consumer, topic_name)
    report = Report(route.topic, metrics, time_reader(codec, route.since), log_end, time.time, stops)
    pace = Pace(limits.rows_max, settings.sinks_buffer_bytes_max, age_s_max, age)
    dispatcher = Dispatcher(topic_name, assignment.states, consumer.seek, route.exactly_once, report.expired)
    loop = ConsumerLoop(
        consumer, topic_name, assignment, dispatcher, write_thread, pace, report, time.monotonic, failpoint
    )
    owns = assignment.states.__contains__
    return Part(route.topic, loop, writer, report, lambda: assignment.joined, owns, lambda: stops.text)


def _monitor(settings: Settings, ids: SchemaIds, metrics: SinksMetrics, is_mine: Callable[[], bool]) -> LedgerMonitor:
    def open_sources() -> Sources:
        # One thread: rows and queries come before it.
        reader = open_reader(settings, timeout_s=settings.sinks_request_ms_max / 1000, threads_max=1)
        topics = KafkaTopics(settings, ids)

        def close() -> None:
            reader.close()
            topics.close()

        return Sources(topics, reader.ledger, close)

    open_pages = partial(Pages, settings.sinks_ledger_projects_max)
    interval_s = float(settings.sinks_ledger_interval_s)
    return LedgerMonitor(open_pages, open_sources, is_mine, metrics, interval_s, time.monotonic, time.time)


def _rollup_monitor(settings: Settings, metrics: SinksMetrics, is_mine: Callable[[], bool]) -> RollupMonitor:
    def open_tables() -> tuple[RollupTables, Callable[[], None]]:
        # One thread, and time enough for it: rows and questions come before it.
        reader = open_reader(settings, timeout_s=_ROLLUPS_S, threads_max=1)
        return reader.rollups, reader.close

    interval_s = float(settings.sinks_rollups_interval_s)
    return RollupMonitor(open_tables, is_mine, metrics, interval_s, time.monotonic, time.time)


def _batcher(route: Route, schemas: SchemaTexts, limits: Limits, partition: int, resumption: Resumption) -> Batcher:
    record_filter = RecordFilter(partition, route.exactly_once, schemas.verdict)
    return Batcher(route.topic, partition, record_filter, limits, resumption)


def _consumer_config(settings: Settings, route: Route) -> dict[str, Any]:
    config = consumer_config(
        settings,
        f"{settings.sinks_group}-{route.topic}",
        enable_partition_eof=True,
        session_timeout_ms=settings.sinks_session_ms_max,
        heartbeat_interval_ms=min(3_000, settings.sinks_session_ms_max // 3),
    )
    if settings.sinks_instance_id is not None:
        config["group.instance.id"] = settings.sinks_instance_id
    return config


def _log_end(consumer: Consumer, topic_name: str, partition: int) -> int | None:
    """The end of a partition's log as of the last fetch; None when nothing was fetched yet."""
    try:
        _, high = consumer.get_watermark_offsets(TopicPartition(topic_name, partition), cached=True)
    except KafkaException:
        return None
    return int(high) if high >= 0 else None


if __name__ == "__main__":
    app()
