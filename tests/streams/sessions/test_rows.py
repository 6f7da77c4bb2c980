"""Rows of sessions as the topic has them: which of two is the newer, and how long they live."""

import json
from collections import Counter
from dataclasses import replace
from typing import Final

import pytest

from schemas.codec import Codec
from schemas.column_codec import ColumnCodec
from schemas.outcomes import Remark
from streams.events.chain import EventChain
from streams.runtime.operator import Records
from streams.runtime.state_cache import StateCache
from streams.sessions.rows import session_records
from streams.sessions.slices import new_slice
from streams.sessions.state import SessionStateCodec, new_state
from tests.streams.raw import IDS, RAW, key_of, raw_event
from tests.streams.readers import in_ms
from tests.streams.runtime.tables import FakeTable
from tests.streams.universe import GAP_MS, Row
from tests.streams.world import conversions, rules, simple_lookups

OFFSET_MAX: Final = 2**48 - 1  # of a partition that takes 100,000 events a second: after ninety years
NOW_MS: Final = 1_795_000_000_000
SESSIONS: Final = Codec("sessions", IDS)


class Visitor:
    """One visitor's events, an epoch each."""

    def __init__(self, generation: int) -> None:
        states = StateCache(FakeTable("sessions"), SessionStateCodec())
        of_generation = replace(rules(), generation=generation)
        self.remarks: Counter[Remark] = Counter()
        self._chain = EventChain("raw", states, of_generation, simple_lookups(), conversions(), IDS, lambda: NOW_MS)

    def take(self, offset: int, timestamp: int = NOW_MS, **fields: str) -> list[Row]:
        """The session rows that an event at this offset leaves."""
        event = raw_event(offset, timestamp=timestamp, received_at=NOW_MS + offset % 1_000, **fields)
        self._chain.process(Records([0], [offset], [key_of(event)], [RAW.encode(event)]))
        outputs = self._chain.end_epoch().outputs
        self._chain.confirm({})
        self.remarks.update(outputs.remarks)
        return [SESSIONS.decode(record["value"]) for record in outputs.records.get("sessions", [])]


@pytest.mark.parametrize("generation", [1, 6])
def test_a_session_of_a_new_generation_replaces_that_of_the_one_before_whatever_their_offsets(generation: int) -> None:
    (before,) = Visitor(generation).take(OFFSET_MAX)
    (after,) = Visitor(generation + 1).take(0)
    assert after["session_id"] == before["session_id"]
    assert after["version"] > before["version"]


def test_a_tombstone_lives_as_long_as_a_session_of_the_day_it_was_written() -> None:
    # The table's TTL goes by started_at: a tombstone that left before the row it ends would bring that back.
    visitor = Visitor(1)
    visitor.take(0, NOW_MS - 4 * GAP_MS)
    visitor.take(1, NOW_MS - 2 * GAP_MS)
    tombstones = [row for row in visitor.take(2, NOW_MS - 3 * GAP_MS) if row["is_deleted"]]
    assert {(in_ms(row["started_at"]), in_ms(row["ended_at"])) for row in tombstones} == {(NOW_MS + 2, NOW_MS + 2)}


def test_a_session_ends_with_its_last_page_whichever_arrived_last() -> None:
    visitor = Visitor(1)
    for offset, (path, at) in enumerate([("/first", 0), ("/last", 90), ("/between", 50)]):
        context = json.dumps({"page": {"path": path}})
        (row,) = visitor.take(offset, NOW_MS + at, event_type="page", event_name="", context=context)
    assert (row["entry_page"], row["exit_page"], row["page_count"]) == ("/first", "/last", 3)


def test_tombstones_are_counted() -> None:
    visitor = Visitor(1)
    visitor.take(0, NOW_MS - 4 * GAP_MS)
    visitor.take(1, NOW_MS - 2 * GAP_MS)
    assert not visitor.remarks
    written = sum(row["is_deleted"] for row in visitor.take(2, NOW_MS - 3 * GAP_MS))
    assert written > 0
    assert visitor.remarks == {Remark.TOMBSTONE: written}


@pytest.mark.parametrize(
    ("path_bytes", "remarks"),
    [(300_000, {}), (700_000, {Remark.STATE_CLIPPED: 1})],
    ids=["whole", "cut"],
)
def test_a_state_whose_texts_are_cut_is_counted(path_bytes: int, remarks: dict[Remark, int]) -> None:
    visitor = Visitor(1)
    context = json.dumps({"page": {"path": "/" + path_bytes * "x"}})  # stands in a session twice: entry and exit
    visitor.take(0, event_type="page", event_name="", context=context)
    assert visitor.remarks == remarks


def test_a_row_whose_texts_are_cut_is_counted() -> None:
    remarks: Counter[Remark] = Counter()

    def remark(remark: Remark, count: int) -> None:
        remarks[remark] += count

    state, piece = new_state(), new_slice(0)
    piece.first_at, piece.session_id = 0, "51a530be-0833-51bf-8372-7bfb6caeb098"
    piece.entry_page = piece.exit_page = piece.referrer = 700_000 * "x"
    state.slices = [piece]
    (record,) = session_records([(0, b"t/p/v/a", state)], ColumnCodec("sessions", IDS), rules().sessions, 0, remark)
    assert len(record["value"]) < 1_000
    assert +remarks == {Remark.ROW_CLIPPED: 1}
