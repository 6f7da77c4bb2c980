"""ClickHouse's own way from Kafka into the same table: Kafka engine, AvroConfluent, a materialized view."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from docker.local.process import HOST
from schemas.registry import EmbeddedIds, SchemaUnknownError
from schemas.settings import Settings
from tests.bench.rows import TABLE, EventsTable, Filled


@contextmanager
def committed_ids() -> Iterator[str]:
    """A schema registry that answers with the committed id list, as far as AvroConfluent asks; yields its URL."""
    ids = EmbeddedIds()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = self.path.partition("?")[0].rpartition("/")[2]
            try:
                body = json.dumps({"schema": json.dumps(ids.schema(int(number)))}).encode()
            except (ValueError, SchemaUnknownError):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_address[1]}"
        server.shutdown()


def like_the_sink(settings: Settings) -> dict[str, int]:
    """Blocks as large and as old as the sink's batches, so that rows are as soon there."""
    return {
        "kafka_max_block_size": settings.sinks_flush_rows_max,
        "kafka_flush_interval_ms": settings.sinks_flush_age_ms_max,
    }


def consume(
    table: EventsTable, settings: Settings, topic: str, total: int, group: str, tuning: Mapping[str, int]
) -> Filled:
    """Let the engine fill the table from the topic with one consumer. tuning: its settings other than the defaults."""
    with committed_ids() as registry:
        own = "".join(f", {name} = {value}" for name, value in tuning.items())
        table.ask(
            f"CREATE TABLE queue ({table.columns()}) ENGINE = Kafka SETTINGS "
            f"kafka_broker_list = '{settings.kafka_bootstrap}', kafka_topic_list = '{topic}', "
            f"kafka_group_name = '{group}', kafka_format = 'AvroConfluent', kafka_num_consumers = 1, "
            f"format_avro_schema_registry_url = '{registry}'{own}"
        )
        table.ask(f"CREATE MATERIALIZED VIEW queue_to_events TO {TABLE} AS SELECT * FROM queue")
        try:
            return table.watch(total, lambda: True)
        finally:
            table.ask("DROP VIEW queue_to_events SYNC")
            table.ask("DROP TABLE queue SYNC")
