"""Dead letters are sent through again, each by its own way. Without servers."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.batching import watermark
from sinks.errors import WriteFailedError
from sinks.replay.query import DeadLetter
from sinks.replay.reinsert import NoRowError, Reinsertion
from tests.sinks.dead_letters import Targets, dead_letter
from tests.sinks.memory import MemoryTable, MemoryWriter
from tests.sinks.records import framed, framed_all, session


def reinsert(writer: MemoryWriter, dead_letters: Sequence[DeadLetter]) -> dict[str, str]:
    reinsertion = Reinsertion(Targets(writer), time.monotonic)
    for one in dead_letters:
        reinsertion.add(one)
    return reinsertion.finish()


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=30), st.sets(st.integers(0, 30)))
def test_each_source_stands_once_and_the_refused_ones_are_named(
    dead_letters: list[tuple[int, bool]], already: set[int]
) -> None:
    bad = {framed(raw) for raw, is_bad in dead_letters if is_bad}
    table = MemoryTable()
    table.rows = [framed(raw) for raw in already]
    table.sources = [(0, watermark.pack(1, raw)) for raw in already]
    writer = MemoryWriter(table, refuses=bad.__contains__)
    given_dead_letters = [dead_letter(100 + index, raw) for index, (raw, _) in enumerate(dead_letters)]
    first = reinsert(writer, given_dead_letters)
    expected_bad = {raw for raw, _ in dead_letters if framed(raw) in bad} - already
    assert sorted(table.rows) == sorted(
        {framed(raw) for raw, _ in dead_letters if framed(raw) not in bad} | set(map(framed, already))
    )
    assert len(first) == len(expected_bad)
    assert all("is refused again" in problem for problem in first.values())
    before = list(table.rows)
    assert reinsert(writer, given_dead_letters) == first
    assert table.rows == before


def test_rows_go_in_batches_and_not_one_by_one() -> None:
    writer = MemoryWriter(MemoryTable())
    assert reinsert(writer, [dead_letter(offset, offset) for offset in range(2_500)]) == {}
    assert [len(rows) for _, rows in writer.inserts] == [1_000, 1_000, 500]


def test_sources_far_apart_are_not_asked_for_at_once() -> None:
    writer = MemoryWriter(MemoryTable())
    assert reinsert(writer, [dead_letter(0, 5), dead_letter(1, 6), dead_letter(2, 5_000_000)]) == {}
    assert [len(rows) for _, rows in writer.inserts] == [2, 1]


def test_generations_and_topics_do_not_share_a_batch() -> None:
    writer = MemoryWriter(MemoryTable())
    other = dead_letter(1, 0, topic="prefix_sessions", payload=framed_all("sessions", [session(1, 1)])[0])
    assert reinsert(writer, [dead_letter(0, 5), dead_letter(2, 5, payload=framed(5, generation=2)), other]) == {}
    assert [len(rows) for _, rows in writer.inserts] == [1, 1, 1]


def test_the_token_is_none_of_a_batch_that_was_written() -> None:
    writer = MemoryWriter(MemoryTable())
    reinsert(writer, [dead_letter(0, 5)])
    reinsert(writer, [dead_letter(0, 5), dead_letter(1, 6)])
    tokens = [token for token, _ in writer.inserts]
    assert len(set(tokens)) == 2
    assert all(token.startswith("replay-") for token in tokens)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"topic": "prefix_raw_events"}, "no topic that sinks write"),
        ({"payload": b"not framed"}, "no schema"),
        ({"payload": framed(5, partition=1)}, "place in raw_events"),
        ({"payload": b""}, "place in raw_events|no schema"),
    ],
)
def test_what_is_no_row_is_refused_with_the_reason(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(NoRowError, match=why):
        reinsert(MemoryWriter(MemoryTable()), [dead_letter(0, 5, **fields)])


def test_a_database_that_is_away_is_given_up_and_said_of_each() -> None:
    writer = MemoryWriter(MemoryTable())
    writer.troubles = [(WriteFailedError("away"), False)] * 50
    problems = reinsert(writer, [dead_letter(0, 5), dead_letter(1, 5_000_000)])
    assert problems == dict.fromkeys(["id-0", "id-1"], "is not taken by the database")
    assert len(writer.troubles) == 45


def test_an_answer_that_was_lost_doubles_nothing() -> None:
    table = MemoryTable()
    writer = MemoryWriter(table)
    writer.troubles = [(WriteFailedError("answer lost"), True)]
    assert reinsert(writer, [dead_letter(0, 5)]) == {}
    assert table.rows == [framed(5)]
