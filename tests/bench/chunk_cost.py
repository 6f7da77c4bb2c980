"""`python -m tests.bench.chunk_cost`: what a chunk of raw_events costs by its size, in one process without servers.

Chunks of all sizes are processed in turn, in rounds; printed are the medians of the process's CPU time: an event's in
`process`, a chunk's, and an event's share of an epoch's end (`end_epoch` and `confirm`).
"""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import gc
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Any, Final

import typer

from schemas.registry import open_ids
from schemas.settings import Settings
from streams.events.chain import EventChain
from streams.events.lookups import open_lookups
from streams.runtime.operator import Records
from streams.runtime.state_cache import StateCache
from streams.sessions.conversions import ConversionEvents
from streams.sessions.state import SessionStateCodec
from streams.topology import rules
from tests.bench.loads import make_load
from tests.bench.traffic import Traffic
from tests.streams.runtime.tables import FakeTable

_PARTITIONS: Final = 12
_WARM_UP: Final = 60_000
# An epoch takes half a second: at 2,000 events a second it is five chunks of 200.
_EPOCH_MS: Final = 500
_CHUNKS_AN_EPOCH: Final = 5


class Source:
    """Records as fetches bring them: by partition, in order of their offsets."""

    def __init__(self) -> None:
        # Yesterday, from the beginning of a half-hour on: sessions that begin in the next one would cost more.
        self._traffic = Traffic(start_ms=(int(time.time()) // 1_800 - 48) * 1_800_000, ms_per_event=0.1)
        self._reached = [0] * _PARTITIONS

    def take(self, count: int) -> Records:
        """The next so many."""
        placed: list[list[dict[str, Any]]] = [[] for _ in range(_PARTITIONS)]
        for record in make_load(self._traffic.records(count)).records:
            placed[zlib.crc32(record["key"]) % _PARTITIONS].append(record)
        rows: list[tuple[int, int, bytes, bytes]] = []
        for partition, records in enumerate(placed):
            first = self._reached[partition]
            rows += [(partition, first + at, record["key"], record["value"]) for at, record in enumerate(records)]
            self._reached[partition] += len(records)
        partitions, offsets, keys, values = zip(*rows, strict=True)
        return Records(partitions, offsets, keys, values, appended_ms=[time.time_ns() // 1_000_000] * count)


def make_chain() -> EventChain:
    """The operator of raw_events over empty states."""
    settings = Settings.model_validate({})
    states = StateCache(FakeTable(EventChain.table), SessionStateCodec())
    return EventChain(
        "raw_events", states, rules(settings), open_lookups(settings), ConversionEvents(), open_ids(None),
        lambda: time.time_ns() // 1_000_000,
    )  # fmt: skip


def main(
    sizes: Annotated[list[int] | None, typer.Option("--size", help="records of a chunk; repeated")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
) -> None:
    """One line a size."""
    source, chain = Source(), make_chain()
    for _ in range(_WARM_UP // 10_000):
        chain.process(source.take(10_000))
    _end_epoch(chain)
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    spent: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for size in sizes or (10, 200, 1_000, 10_000):
            chunks = [source.take(size) for _ in range(_CHUNKS_AN_EPOCH)]
            spent[size].append(_measure(chain, chunks))
    for size, costs in spent.items():
        process, end = (median(column) * 1e6 / _CHUNKS_AN_EPOCH for column in zip(*costs, strict=True))
        print(
            f"{size:6} records: {process / size:7.1f} µs an event, {process / 1000:6.2f} ms a chunk; "
            f"epoch's end {end / size:5.1f} µs an event"
        )


def _measure(chain: EventChain, chunks: Sequence[Records]) -> tuple[float, float]:
    started = time.process_time()
    for chunk in chunks:
        chain.process(chunk)
    processed = time.process_time()
    _end_epoch(chain)
    return processed - started, time.process_time() - processed


def _end_epoch(chain: EventChain) -> None:
    chain.end_epoch()
    chain.confirm({})


if __name__ == "__main__":
    typer.run(main)
