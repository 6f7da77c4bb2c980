"""One collector's wrong clock moves nobody's time: neither what is remembered, nor what is late, nor what leaves."""

from typing import Final

import polars as pl
import pytest

from schemas.outcomes import Remark
from schemas.settings import load
from streams.events.bound_times import bound_times
from streams.events.chain import EventChain
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Outputs, Records
from streams.runtime.state_cache import StateCache
from streams.sessions.state import SessionStateCodec
from streams.topology import rules
from tests.streams.raw import IDS, RAW, key_of, raw_event
from tests.streams.runtime.tables import FakeTable
from tests.streams.universe import Row
from tests.streams.world import Log, conversions, decoded, simple_lookups

DAY_MS: Final = 86_400_000
NOW_MS: Final = 1_795_000_000_000
AHEAD_MS: Final = 1_000
RULES: Final = rules(load({}))


def bounded(times: list[tuple[int, int]], appended: list[int], indexes: list[int] | None = None) -> tuple[object, int]:
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series([time for time, _ in times]).cast(pl.Datetime("ms")),
            "received_at": pl.Series([time for _, time in times]).cast(pl.Datetime("ms")),
            "index": indexes or list(range(len(times))),
        }
    )
    found, count = bound_times(frame, appended, AHEAD_MS)
    return found.select(pl.col("timestamp", "received_at").cast(pl.Int64)).rows(), count


@pytest.mark.parametrize(
    ("time", "expected", "count"),
    [
        ((5_000, 5_100), (5_000, 5_100), 0),
        ((6_000, 6_000), (6_000, 6_000), 0),
        ((6_001, 5_100), (5_000, 5_100), 1),
        ((5_000, 10**12), (5_000, 5_000), 1),
        ((10**12, 10**12), (5_000, 5_000), 1),
        ((1, 2), (1, 2), 0),
    ],
)
def test_a_time_is_at_most_so_far_ahead_of_the_brokers(
    time: tuple[int, int], expected: tuple[int, int], count: int
) -> None:
    assert bounded([time], [5_000]) == ([expected], count)


def test_without_the_brokers_time_nothing_is_bounded() -> None:
    assert bounded([(10**12, 10**12)], []) == ([(10**12, 10**12)], 0)
    assert bounded([(10**12, 10**12)], [-1]) == ([(10**12, 10**12)], 0)


def test_rows_are_held_against_their_own_records() -> None:
    assert bounded([(9_000, 9_000), (9_000, 9_000)], [1_000, 0, 9_000], [0, 2]) == ([(1_000,) * 2, (9_000,) * 2], 1)


class Partition:
    """One partition's events through the chain, an epoch each; the broker's time goes on by a second."""

    def __init__(self) -> None:
        self.table = FakeTable("sessions")
        states = StateCache(self.table, SessionStateCodec(), Evictor(8 * DAY_MS))
        self.chain = EventChain("raw", states, RULES, simple_lookups(), conversions(), IDS, lambda: 7)
        self.log = Log()
        self._offset = 0

    def take(self, *events: Row) -> Outputs:
        offsets = range(self._offset, self._offset + len(events))
        self._offset += len(events)
        keys, values = [key_of(event) for event in events], [RAW.encode(event) for event in events]
        outputs = self.chain.process(
            Records([0] * len(events), offsets, keys, values, appended_ms=[NOW_MS + 1_000 * at for at in offsets])
        )
        for record in outputs.records.get("enriched_events", ()):
            self.log.append("enriched_events", 0, record["key"], record["value"])
        self.chain.end_epoch()
        self.chain.confirm({})
        return outputs


def of_visitor(number: int, visitor: str, at: int = NOW_MS) -> Row:
    return raw_event(number, anonymous_id=visitor, timestamp=at, received_at=at)


def test_one_event_from_a_wrong_clock_evicts_nobody() -> None:
    partition = Partition()
    partition.take(*(of_visitor(number, f"v{number}") for number in range(2_500)))
    outputs = partition.take(of_visitor(9_999, "wrong", NOW_MS + 9 * DAY_MS))
    for number in range(5):
        partition.take(of_visitor(10_000 + number, "another"))
    assert len(partition.table.store) == 2_502
    assert outputs.remarks == {Remark.CLOCK_AHEAD: 1}


def test_one_event_from_a_wrong_clock_forgets_no_message_and_makes_nobody_late() -> None:
    partition = Partition()
    partition.take(of_visitor(1, "ann"))
    partition.take(of_visitor(2, "ann", NOW_MS + 9 * DAY_MS))
    again = partition.take(of_visitor(1, "ann", NOW_MS + 2_000), of_visitor(3, "ann", NOW_MS + 3_000))
    assert (again.duplicates, again.kept) == (1, 1)
    rows = [row for _, _, row in decoded(partition.log, "enriched_events")]
    assert len({row["session_id"] for row in rows}) == 1
    assert max(row["timestamp"] for row in rows) < NOW_MS + DAY_MS


def test_visitors_with_more_ids_than_are_remembered_are_told_of() -> None:
    partition = Partition()
    seen_ids_max = RULES.dedup.seen_ids_max
    outputs = partition.take(*(of_visitor(number, "hot") for number in range(seen_ids_max + 3)))
    assert outputs.remarks == {Remark.SEEN_IDS_FORGOTTEN: 3}
