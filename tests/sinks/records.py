"""Records as streams write them, for the tests of the sinks."""

import random
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from schemas.column_codec import ColumnCodec
from schemas.registry import open_ids

TENANT = "11111111-1111-4111-8111-111111111111"
PROJECT = "22222222-2222-4222-8222-222222222222"
# What ClickHouse refuses, and Avro does not: `event` with these fields.
NOT_A_UUID: dict[str, Any] = {"event_id": "no uuid"}
# The day before yesterday: rows live for years from their own time, and a fixed date would be past them one day.
START = (datetime.now(UTC) - timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)


@cache
def codec(topic: str) -> ColumnCodec:
    """The codec of a topic, with the committed ids."""
    return ColumnCodec(topic, open_ids(None))


def event(offset: int, partition: int = 0, generation: int = 1, **fields: Any) -> dict[str, Any]:
    """An enriched event whose every field follows from where it stands in raw_events."""
    dice = random.Random(f"{generation}/{partition}/{offset}")

    def identifier() -> str:
        return str(uuid.UUID(int=dice.getrandbits(128), version=4))

    moment = START + timedelta(milliseconds=offset)
    record = {
        "source_offset": offset,
        "source_partition": partition,
        "source_generation": generation,
        "event_id": identifier(),
        "message_id": identifier(),
        "tenant_id": TENANT,
        "project_id": PROJECT,
        "event_name": dice.choice(["Signed Up", "Order Completed", ""]),
        "event_type": dice.choice(["track", "page", "identify"]),
        "timestamp": moment,
        "received_at": moment + timedelta(milliseconds=20),
        "anonymous_id": identifier(),
        "user_id": dice.choice([None, f"user-{offset}"]),
        "session_id": identifier(),
        "channel_type": "web",
        "external_id": dice.choice([None, "4915112345"]),
        "handshake_token": dice.choice([None, "token"]),
        "page_path": f"/p/{offset}",
        "page_url": f"https://example.com/p/{offset}?q=ü",
        "page_title": "Größe — \N{SNOWMAN}",
        "page_referrer": "https://search.example/",
        "user_agent": "Mozilla/5.0",
        "device_type": "desktop",
        "os_name": "Linux",
        "os_version": "6.1",
        "browser_name": "Firefox",
        "browser_version": "145.0",
        "ip_address": "203.0.113.9",
        "country_code": "DE",
        "city": "Köln",
        "properties": f'{{"number":{offset},"text":"tab\\tquote\\""}}',
        "sdk_version": "analytics.js/2.1",
        "processed_at": moment + timedelta(milliseconds=300),
        "client_message_id": f"ajs-next-{offset}",
        "context": "{}",
        "is_bot": dice.random() < 0.1,
        "bot_reason": "",
        "group_id": dice.choice([None, "group"]),
        "previous_id": None,
    }
    return record | fields


def framed(offset: int, partition: int = 0, generation: int = 1, **fields: Any) -> bytes:
    """The same, as bytes on the topic."""
    return codec("enriched_events").encode(event(offset, partition, generation, **fields))


def session(number: int, version: int, **fields: Any) -> dict[str, Any]:
    """A session as known after the event at `version`."""
    record = {
        "session_id": str(uuid.UUID(int=number, version=4)),
        "tenant_id": TENANT,
        "anonymous_id": f"visitor-{number}",
        "user_id": None,
        "started_at": START,
        "ended_at": START + timedelta(seconds=version % 10_000),
        "duration_seconds": version % 10_000,
        "event_count": version % 100_000,
        "page_count": 1,
        "entry_page": "/",
        "referrer": "",
        "utm_source": None,
        "utm_medium": "cpc",
        "utm_campaign": None,
        "device_type": "mobile",
        "country_code": "FR",
        "converted": True,
        "conversion_event": "Order Completed",
        "version": version,
        "is_deleted": False,
        "project_id": PROJECT,
        "exit_page": "/bye",
        "channel_type": "web",
        "is_bot": False,
        "client_session_id": "1718",
        "absorbed_by": None,
    }
    return record | fields


def framed_all(topic: str, records: Iterable[dict[str, Any]]) -> list[bytes]:
    """Records of a topic as bytes on it."""
    return [codec(topic).encode(record) for record in records]
