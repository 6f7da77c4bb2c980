"""Somebody changes a column's type, or changes it back, while the sink looks for the rows that the table refuses."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from sinks.batching import watermark
from sinks.batching.batch import Batch, Rows
from sinks.clickhouse.http import Connection, Server
from sinks.failpoints import Failpoint, nothing
from tests.sinks.records import NOT_A_UUID, codec, framed
from tests.sinks.rig import SinkRig
from tests.sinks.sender import Sender

ROWS = 60
DRIFT = "ALTER TABLE {db}.events MODIFY COLUMN session_id UUID"
BACK = "ALTER TABLE {db}.events MODIFY COLUMN session_id String"


def batch(*bad: int, every: int = 1) -> Batch:
    """Every so manieth row has a session id that is no UUID; those of `bad` can be rows of no table."""
    values = [
        framed(
            offset,
            session_id=str(uuid.UUID(int=offset)) if offset % every else "visitor",
            **(NOT_A_UUID if offset in bad else {}),
        )
        for offset in range(ROWS)
    ]
    sources = np.array([watermark.pack(1, offset) for offset in range(ROWS)], np.int64)
    rows = Rows(codec("enriched_events").schema_id, list(range(ROWS)), values, [None] * ROWS, sources)
    return Batch("enriched_events", 0, 0, ROWS, -1, ROWS - 1, rows, (), 0, 0, 1, 0.0, False, True)


class Interrupted(Connection):
    """Before its requests of these numbers, counted from 0, somebody sends a statement."""

    def __init__(self, server: Server, rig: SinkRig, statements: Mapping[int, str]) -> None:
        super().__init__(server)
        self._rig = rig
        self._statements = statements
        self.requests = 0

    def send(
        self, query: str, body: Sequence[bytes], settings: Mapping[str, Any], failpoint: Failpoint = nothing
    ) -> bytes:
        if statement := self._statements.get(self.requests):
            self._rig.query(statement)
        self.requests += 1
        return super().send(query, body, settings, failpoint)


def sent(rig: SinkRig, given: Batch, statements: Mapping[int, str]) -> Sender:
    sender = Sender(rig, connect=lambda server: Interrupted(server, rig, statements))
    sender.send(given)
    return sender


@pytest.mark.parametrize("moment", [1, 2, 3, 4, 5, 8, 12, 20, 30, 45])
@pytest.mark.parametrize("every", [1, 7])
def test_rows_are_no_dead_letters_whenever_the_type_is_changed_back(rig: SinkRig, moment: int, every: int) -> None:
    rig.query(DRIFT)
    sender = sent(rig, batch(13, every=every), {moment: BACK})
    assert [bad.offset for _, bad in sender.dead_letters.published] == [13]
    assert rig.rows() == ROWS - 1


@pytest.mark.parametrize("moment", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_rows_are_no_dead_letters_whenever_the_type_is_changed(rig: SinkRig, moment: int) -> None:
    sender = sent(rig, batch(13, 14), {moment: DRIFT, moment + 20: BACK})
    assert [bad.offset for _, bad in sender.dead_letters.published] == [13, 14]
    assert rig.rows() == ROWS - 2


@pytest.mark.parametrize("changed", ["UInt32", "Array(String)", "Enum8('a' = 1)", "FixedString(2)"])
def test_a_type_that_can_hold_none_of_the_values_stops_the_topic_and_is_named(rig: SinkRig, changed: str) -> None:
    rig.query(f"ALTER TABLE {{db}}.events MODIFY COLUMN page_title {changed}")
    sender = sent(rig, batch(13), {16: "ALTER TABLE {db}.events MODIFY COLUMN page_title String"})
    assert {error.cause for error in sender.report.stops} == {"type_changed"}
    assert f"column page_title is {changed}, the contract says String" in str(sender.report.stops[0])
    assert [bad.offset for _, bad in sender.dead_letters.published] == [13]
    assert rig.rows() == ROWS - 1


def test_a_harmless_type_stops_nobody(rig: SinkRig) -> None:
    rig.query("ALTER TABLE {db}.events MODIFY COLUMN page_title LowCardinality(String)")
    sender = sent(rig, batch(13), {})
    assert sender.report.stops == []
    assert [bad.offset for _, bad in sender.dead_letters.published] == [13]
    assert rig.rows() == ROWS - 1
