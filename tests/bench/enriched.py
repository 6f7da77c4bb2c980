"""Enriched events as the worker writes them, made by its own steps without Kafka: what the sink is measured on."""

import zlib
from typing import Any, Final

from schemas import varint
from schemas.codec import HEADER_BYTES
from schemas.registry import open_ids
from schemas.settings import Settings
from streams.events.chain import EventChain
from streams.events.lookups import open_lookups
from streams.runtime.operator import Records
from streams.runtime.state_cache import StateCache
from streams.sessions.conversions import ConversionEvents
from streams.sessions.state import SessionStateCodec
from streams.topology import rules
from tests.bench.loads import Load
from tests.streams.runtime.tables import FakeTable

_CHUNK: Final = 5_000
Rows = dict[int, list[bytes]]  # partition → framed records, in the order of their source offsets


def enrich(settings: Settings, load: Load, now_ms: int) -> Rows:
    """The load's distinct events; partitions as a hash of the key chooses them, source offsets as they come."""
    states = StateCache(FakeTable(EventChain.table), SessionStateCodec())
    chain = EventChain(
        settings.topic(EventChain.name), states, rules(settings), open_lookups(settings), ConversionEvents(),
        open_ids(None), lambda: now_ms,
    )  # fmt: skip
    rows: Rows = {partition: [] for partition in range(settings.partitions)}
    reached = dict.fromkeys(rows, 0)
    for start in range(0, len(load), _CHUNK):
        records = _place(load.records[start : start + _CHUNK], reached)
        for record in chain.process(records).records.get("enriched_events", ()):
            rows[record["partition"]].append(record["value"])
    return rows


def _place(raw: list[dict[str, Any]], reached: dict[int, int]) -> Records:
    """The records with partitions and offsets; `reached` is the next offset of each partition, and moved."""
    partitions = [zlib.crc32(record["key"]) % len(reached) for record in raw]
    offsets = []
    for partition in partitions:
        offsets.append(reached[partition])
        reached[partition] += 1
    return Records(partitions, offsets, [record["key"] for record in raw], [record["value"] for record in raw])


def repeat(rows: Rows, copies: int) -> Rows:
    """The rows so many times, each time with source offsets after the last: new rows to the sink and to ClickHouse."""
    repeated: Rows = {}
    for partition, values in rows.items():
        split = [_split(value) for value in values]
        span = split[-1][0] + 1 if split else 0
        repeated[partition] = values + [
            value[:HEADER_BYTES] + varint.encode(offset + copy * span) + rest
            for copy in range(1, copies)
            for value, (offset, rest) in zip(values, split, strict=True)
        ]
    return repeated


def _split(value: bytes) -> tuple[int, bytes]:
    """A framed enriched event's source offset, its first field, and what follows it."""
    offset, end = varint.decode(value, HEADER_BYTES)
    return offset, value[end:]
