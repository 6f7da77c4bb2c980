"""Records of a later release, and of a registry that is away: the sinks wait, harm nothing, and say what to do."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from schemas.outcomes import DeadReason
from schemas.registry import EmbeddedIds, RegistryUnavailableError, versions
from sinks.batching.batcher import Batcher, Limits, Resumption
from sinks.batching.commit_metadata import CommitMetadata
from sinks.batching.filter import PendingError, RecordFilter
from sinks.batching.schema_texts import SchemaTexts
from sinks.errors import TopicStoppedError
from tests.sinks.records import codec, framed
from tests.sinks.rig import SinkRig

NEWEST = max(version.schema_id for version in versions())
KNOWN = codec("enriched_events").schema_id


def of_schema(schema_id: int, offset: int) -> bytes:
    return struct.pack(">bI", 0, schema_id) + framed(offset)[5:]


def batcher(verdict: Any, plan: CommitMetadata | None = None) -> Batcher:
    limits = Limits(100_000, 64 * 2**20)
    record_filter = RecordFilter(0, True, verdict)
    return Batcher("enriched_events", 0, record_filter, limits, Resumption(0, plan or CommitMetadata(None)))


def feed(taking: Batcher, values: list[bytes], first: int = 0) -> None:
    offsets = list(range(first, first + len(values)))
    taking.add(offsets, values, [None] * len(values), 0.0, np.full(len(values), 5_000, np.int64))


@pytest.mark.parametrize("later", [1, 2, 1_000])
def test_an_id_that_follows_upon_ours_waits(later: int) -> None:
    with pytest.raises(TopicStoppedError, match="upgrade the sinks first") as stopped:
        SchemaTexts("enriched_events", EmbeddedIds()).verdict(NEWEST + later)
    assert stopped.value.cause == "schema_id_unknown"
    assert stopped.value.retryable


@pytest.mark.parametrize("nobodys", [0, NEWEST + 1_001, 2**31])
def test_an_id_that_no_release_will_give_is_a_bad_record(nobodys: int) -> None:
    verdict = SchemaTexts("enriched_events", EmbeddedIds()).verdict(nobodys)
    assert verdict is not None
    assert verdict[0] is DeadReason.SCHEMA_ID_UNKNOWN


@pytest.mark.parametrize("place", [0, 3, 9])
def test_what_stands_before_a_later_record_goes_on_and_nothing_after_it(place: int) -> None:
    taking = batcher(SchemaTexts("enriched_events", EmbeddedIds()).verdict)
    values = [framed(offset) for offset in range(10)]
    values[place] = of_schema(NEWEST + 1, place)
    if place < 8:
        values[place + 2] = of_schema(NEWEST + 2, place + 2)
    for _ in range(3):  # tried again, it makes no difference
        with pytest.raises(PendingError) as pending:
            feed(taking, values[taking.position :], taking.position)
        assert taking.position == place
        assert pending.value.timestamp == 5_000
    batch = taking.take(10.0)
    assert (batch.start, batch.end, len(batch.rows), list(batch.bad)) == (0, place, place, [])


def test_a_planned_batch_that_ends_behind_a_later_record_waits_whole() -> None:
    taking = batcher(SchemaTexts("enriched_events", EmbeddedIds()).verdict, CommitMetadata(6))
    with pytest.raises(PendingError):
        feed(taking, [framed(0), framed(1), of_schema(NEWEST + 1, 2), *map(framed, range(3, 8))])
    assert not taking.due(100.0, 1.0)
    assert taking.is_redoing


class Away:
    """A registry that does not answer at first."""

    def __init__(self) -> None:
        self.is_away = True

    def schema_id(self, topic: str) -> int:
        return EmbeddedIds().schema_id(topic)

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        if self.is_away:
            raise RegistryUnavailableError("http://registry", "cannot be reached")
        return EmbeddedIds().schema(schema_id)


def test_records_wait_for_a_registry_that_is_away() -> None:
    registry = Away()
    taking = batcher(SchemaTexts("enriched_events", registry).verdict)
    with pytest.raises(PendingError) as pending:
        feed(taking, [framed(0)])
    assert pending.value.stopped.cause == "registry_away"
    registry.is_away = False
    feed(taking, [framed(0)])
    assert len(taking.take(10.0).rows) == 1


def test_bad_records_count_as_bytes_held_until_their_batch_is_written() -> None:
    taking = batcher(lambda _id: (DeadReason.SCHEMA_MISMATCH, ""))
    for start in range(0, 3_000, 1_000):
        feed(taking, [b"\0\0\0\0\x63" + b"y" * 995] * 1_000, start)
    assert taking.size == 3_000_000
    batch = taking.take(10.0)
    assert (batch.size, len(batch.bad), taking.size) == (3_000_000, 3_000, 0)


def test_bad_records_fill_a_batch() -> None:
    record_filter = RecordFilter(0, True, lambda _id: (DeadReason.SCHEMA_MISMATCH, ""))
    taking = Batcher("enriched_events", 0, record_filter, Limits(100, 10_000), Resumption(0, CommitMetadata(None)))
    feed(taking, [b"\0\0\0\0\x63" + b"y" * 995] * 10)
    assert taking.due(0.0, 1.0)


def test_old_sinks_under_new_streams_wait_loudly_and_the_upgraded_one_loses_nothing(
    rig: SinkRig,
) -> None:
    rig.found_group()
    rig.produce("enriched_events", [*map(framed, range(50)), *(of_schema(NEWEST + 1, n) for n in range(50, 80))])
    rig.produce("enriched_events", [framed(offset, partition=1) for offset in range(20)], partition=1)
    old = rig.sink()
    old.launch()
    stopped = 'tally_sinks_stopped{cause="schema_id_unknown",topic="enriched_events"}'
    rig.wait_until(lambda: old.sample(stopped) == 1, old.log_tail)
    rig.wait_for_acknowledgement([50, 20])  # what it can read goes on
    status, text = old.get("/readyz")
    assert status == 503
    assert "upgrade the sinks first" in text
    assert "upgrade the sinks first" in old.log()
    assert old.metric('tally_sinks_lag_seconds{topic="enriched_events"}') > 0
    assert rig.consume("dead_letters") == []
    assert old.terminate() == 0
    new = rig.sink(program="tests.sinks.upgraded")
    new.start()
    rig.wait_for_acknowledgement([80, 20])
    assert rig.sources() == [(1, 0, offset) for offset in range(80)] + [(1, 1, offset) for offset in range(20)]
    assert rig.consume("dead_letters") == []
