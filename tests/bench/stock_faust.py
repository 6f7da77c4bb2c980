"""`python -m tests.bench.stock_faust`: the worker's task as an ordinary Faust application does it.

One agent, one event at a time: Avro by fastavro, contexts and the table's states by orjson, user agents and addresses
looked up behind caches, the sessions in a Faust table with its changelog. Tuned as its documentation advises: uvloop,
the Cython parts, linger, larger batches and buffers. It is no copy of Tally's rules: sessions are not
order-insensitive, robots are not told apart, nothing is proof against a crash. All of that would only cost more.

Session rows are written when the worker writes them: one for each session touched in the last `emit_s`; while the agent
is behind by more than `behind_s`, one for each touched in the last `emit_events` events, as the worker's epochs are
larger then. By time alone a slow processor writes more rows an event than a fast one, and that is no equal work.

Takes one JSON argument: bootstrap, prefix, partitions, web_port, data, country_path, city_path, emit_s, emit_events,
behind_s.
"""

import io
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fastavro
import faust
import maxminddb
import orjson
import ua_parser
from faust.serializers.codecs import Codec as FaustCodec
from mode.loop import use as use_loop

from schemas.registry import EmbeddedIds

GAP_MS = 30 * 60 * 1000
CONVERSION = "Order Completed"
CACHED = 50_000
HEADER_BYTES = 5


class Avro(FaustCodec):
    """Records of one topic, as Faust's serializers are written: dictionary to bytes and back."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        ids = EmbeddedIds()
        schema_id = ids.schema_id(topic)
        self._header = b"\x00" + schema_id.to_bytes(4, "big")
        self._schema: Any = fastavro.parse_schema(dict(ids.schema(schema_id)))

    def _loads(self, s: bytes) -> Any:
        body = io.BytesIO(s)
        body.seek(HEADER_BYTES)
        return fastavro.schemaless_reader(body, self._schema)

    def _dumps(self, s: Any) -> bytes:
        out = io.BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._schema, s)
        return out.getvalue()


class Lookups:
    """User agents, addresses and URLs, each looked up once and then remembered."""

    def __init__(self, country_path: str, city_path: str) -> None:
        countries = maxminddb.open_database(country_path)
        cities = maxminddb.open_database(city_path)

        @lru_cache(CACHED)
        def place(address: str) -> tuple[str, str]:
            country: Any = countries.get(address) or {}
            city: Any = cities.get(address) or {}
            return country.get("country_code") or "", city.get("city") or ""

        self.place = place
        self.user_agent = lru_cache(CACHED)(parse_user_agent)
        self.url = lru_cache(CACHED)(parse_url)


def parse_user_agent(text: str) -> dict[str, str]:
    """The columns about the device."""
    found = ua_parser.parse(text)
    device, system, browser = found.device, found.os, found.user_agent
    family = device.family if device else ""
    is_mobile = family == "iPhone" or (system is not None and system.family == "Android")
    return {
        "device_type": "mobile" if is_mobile else "desktop",
        "os_name": system.family if system else "",
        "os_version": ".".join(filter(None, (system.major, system.minor))) if system else "",
        "browser_name": browser.family if browser else "",
        "browser_version": ".".join(filter(None, (browser.major, browser.minor))) if browser else "",
    }


def parse_url(url: str) -> tuple[str, dict[str, str]]:
    """The path and the campaign's parameters."""
    parts = urlsplit(url)
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items() if name.startswith("utm_")}


def enrich(raw: dict[str, Any], context: dict[str, Any], session: dict[str, Any], lookups: Lookups) -> dict[str, Any]:
    """The enriched event, without where it came from."""
    page = context.get("page") or {}
    path, _ = lookups.url(page.get("url") or "")
    country_code, city = lookups.place(raw["ip_address"])
    library = context.get("library") or {}
    return {
        **{name: raw[name] for name in COPIED},
        **lookups.user_agent(raw["user_agent"]),
        "session_id": session["session_id"],
        "channel_type": "web",
        "external_id": None,
        "handshake_token": None,
        "page_path": page.get("path") or path,
        "page_url": page.get("url") or "",
        "page_title": page.get("title") or "",
        "page_referrer": page.get("referrer") or "",
        "country_code": country_code,
        "city": city,
        "sdk_version": f"{library.get('name', '')} {library.get('version', '')}",
        "processed_at": int(time.time() * 1000),
        "is_bot": False,
        "bot_reason": "",
    }


COPIED = (
    "event_id", "message_id", "tenant_id", "project_id", "event_name", "event_type", "timestamp", "received_at",
    "anonymous_id", "user_id", "user_agent", "ip_address", "properties", "client_message_id", "context", "group_id",
    "previous_id",
)  # fmt: skip


def fold(session: dict[str, Any], raw: dict[str, Any], context: dict[str, Any], lookups: Lookups) -> None:
    """One event into its visitor's session, or into a new one after a pause."""
    at = int(raw["timestamp"].timestamp() * 1000)
    if not session or at - session["ended_at"] > GAP_MS:
        session.update(opened(raw, context, at, lookups), seen=session.get("seen", {}))
    session["ended_at"] = max(session["ended_at"], at)
    session["event_count"] += 1
    session["page_count"] += raw["event_type"] == "page"
    session["exit_page"] = (context.get("page") or {}).get("path") or session["exit_page"]
    session["user_id"] = raw["user_id"] or session["user_id"]
    if raw["event_name"] == CONVERSION and not session["converted"]:
        session["converted"], session["conversion_event"] = True, raw["event_name"]
    session["seen"][raw["message_id"]] = at


def opened(raw: dict[str, Any], context: dict[str, Any], at: int, lookups: Lookups) -> dict[str, Any]:
    """A session's first state."""
    page, campaign = context.get("page") or {}, context.get("campaign") or {}
    _, utm = lookups.url(page.get("url") or "")
    name = f"{raw['tenant_id']}/{raw['project_id']}/{raw['anonymous_id']}/{at}"
    return {
        "session_id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
        "tenant_id": raw["tenant_id"],
        "project_id": raw["project_id"],
        "anonymous_id": raw["anonymous_id"],
        "user_id": None,
        "started_at": at,
        "ended_at": at,
        "event_count": 0,
        "page_count": 0,
        "entry_page": page.get("path") or "",
        "exit_page": "",
        "referrer": page.get("referrer") or "",
        "utm_source": utm.get("utm_source") or campaign.get("source"),
        "utm_medium": utm.get("utm_medium") or campaign.get("medium"),
        "utm_campaign": utm.get("utm_campaign") or campaign.get("name"),
        "device_type": lookups.user_agent(raw["user_agent"])["device_type"],
        "country_code": lookups.place(raw["ip_address"])[0],
        "converted": False,
        "conversion_event": None,
    }


def session_row(session: dict[str, Any], version: int) -> dict[str, Any]:
    """The record of the topic sessions."""
    row = {name: value for name, value in session.items() if name != "seen"}
    duration_ms = session["ended_at"] - session["started_at"]
    return row | {
        "duration_seconds": duration_ms // 1000,
        "version": version,
        "is_deleted": False,
        "channel_type": "web",
        "is_bot": False,
    }


def claim(raw: dict[str, Any]) -> dict[str, Any]:
    """The identity claim of an identify call, without where it came from."""
    return {
        **{name: raw[name] for name in ("tenant_id", "project_id", "anonymous_id", "user_id")},
        "handshake_token": "",
        "link_source": "identify",
        "linked_at": raw["timestamp"],
        "traits": raw["properties"],
    }


@dataclass
class Pace:
    """Events since session rows were written, and whether the last one had waited for long."""

    handled: int = 0
    is_behind: bool = False


def create_app(order: dict[str, Any]) -> faust.App:
    """The application: an agent, a table, a timer."""
    prefix = order["prefix"]
    app = faust.App(
        f"{prefix}app",
        broker=f"kafka://{order['bootstrap']}",
        store="memory://",
        datadir=order["data"],
        topic_partitions=order["partitions"],
        topic_disable_leader=True,
        web_port=order["web_port"],
        web_bind="127.0.0.1",
        cython_optimizations=True,
        stream_buffer_maxsize=16_384,
        producer_linger=0.005,
        producer_max_batch_size=2**20,
        producer_compression_type="lz4",
        consumer_auto_offset_reset="earliest",
    )

    @cache
    def topic(name: str) -> Any:
        return app.topic(f"{prefix}{name}", key_serializer="raw", value_serializer=Avro(name))

    lookups = Lookups(order["country_path"], order["city_path"])
    sessions = app.Table("sessions", default=dict, partitions=order["partitions"], key_type=bytes, value_type=dict)
    touched: dict[bytes, tuple[dict[str, Any], int]] = {}
    pace = Pace()

    async def emit_sessions() -> None:
        due = list(touched.values())
        touched.clear()
        pace.handled = 0
        for session, version in due:
            key = f"{session['tenant_id']}/{session['session_id']}".encode()
            await topic("sessions").send(key=key, value=session_row(session, version))

    async def handle(key: bytes, raw: dict[str, Any], message: Any) -> None:
        session = sessions[key]
        if raw["message_id"] in session.get("seen", ()):
            return
        context = orjson.loads(raw["context"])
        fold(session, raw, context, lookups)
        sessions[key] = session
        touched[key] = session, message.offset
        source = {
            "source_offset": message.offset,
            "source_partition": message.partition,
            "source_generation": 1,
        }
        enriched = enrich(raw, context, session, lookups) | source
        await topic("enriched_events").send(key=key, value=enriched, partition=message.partition)
        if raw["event_type"] == "identify" and raw["user_id"]:
            owner = f"{raw['tenant_id']}/a/{raw['anonymous_id']}".encode()
            await topic("identity_claims").send(key=owner, value=claim(raw) | source)

    @app.agent(topic("raw_events"))
    async def process(stream: Any) -> AsyncIterator[None]:
        async for event in stream.events():
            raw, key, message = event.value, event.key, event.message
            pace.handled += 1
            pace.is_behind = time.time() - message.timestamp > order["behind_s"]
            await handle(key, raw, message)
            if pace.is_behind and pace.handled >= order["emit_events"]:
                await emit_sessions()
            yield

    @app.timer(order["emit_s"])
    async def emit_in_time() -> None:
        if not pace.is_behind:
            await emit_sessions()

    return app


def main() -> None:
    """Run a worker until it is told to stop."""
    use_loop("uvloop")
    app = create_app(orjson.loads(sys.argv[1]))
    faust.Worker(app, loglevel="warning").execute_from_commandline()


if __name__ == "__main__":
    main()
