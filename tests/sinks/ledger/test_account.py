"""Laws of the ledger, without servers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinks.ledger.account import Account, RawEvent, Stored, frontier, missing, settle, spans

START = 100


def offsets(values: set[int]) -> np.ndarray:
    return np.array(sorted(values), dtype=np.int64)


def event(offset: int, message: int) -> RawEvent:
    return RawEvent(offset, "project", f"message {message}")


NONE: st.SearchStrategy[set[int]] = st.just(set())


def duplicates_of(log: list[tuple[int, str]], stored: list[int]) -> list[int]:
    return [offset for offset, fate in log if fate == "duplicate" and stored]


@given(st.lists(st.sampled_from(["stored", "duplicate", "dead", "lost"]), max_size=40), st.data())
def test_every_offset_is_counted_once_and_a_loss_is_named(fates: list[str], data: st.DataObject) -> None:
    log = list(enumerate(fates, START))
    stored = [offset for offset, fate in log if fate == "stored"]
    # A duplicate repeats a stored event; without one there is nothing to repeat, and it is a loss.
    messages = {offset: offset for offset, _ in log}
    expected_lost = [offset for offset, fate in log if fate == "lost"]
    for offset, fate in log:
        if fate == "duplicate":
            if stored:
                messages[offset] = data.draw(st.sampled_from(stored))
            else:
                expected_lost.append(offset)
    tables = Stored(offsets(set(stored)), offsets(set()), offsets({offset for offset, fate in log if fate == "dead"}))
    kept_ids = {("project", f"message {offset}") for offset in stored}
    known = offsets(data.draw(st.sets(st.sampled_from(repeats)) if (repeats := duplicates_of(log, stored)) else NONE))
    asked: list[int] = []

    def read(absent: np.ndarray) -> list[RawEvent]:
        asked.extend(absent.tolist())
        return [event(offset, messages[offset]) for offset in absent.tolist()]

    account, duplicates, strays, absent = settle(
        START,
        START + len(fates),
        tables,
        read,
        lambda events: {(e.project_id, e.message_id) for e in events} & kept_ids,
        known,
    )
    assert account.lost == sorted(expected_lost)
    assert account.difference == len(expected_lost)
    assert account.sound == (not expected_lost)
    assert account.duplicate == len(fates) - len(stored) - len(tables.dead) - len(expected_lost)
    assert {e.offset for e in duplicates} | set(known.tolist()) == set(duplicates_of(log, stored))
    assert [e.offset for e in strays] == sorted(expected_lost)
    assert not set(asked) & set(known.tolist())
    assert len(absent) == account.duplicate + len(account.lost)


def test_a_raw_event_that_the_topic_no_longer_has_cannot_be_called_a_duplicate() -> None:
    nothing = offsets(set())
    account, *_ = settle(0, 2, Stored(offsets({0}), nothing, nothing), lambda absent: [], lambda events: set())
    assert account.lost == [1]
    assert not account.sound


def test_a_source_offset_with_two_rows_is_doubled_though_the_sum_is_zero() -> None:
    account, *_ = settle(
        0, 1, Stored(offsets({0}), offsets({0}), offsets(set())), lambda absent: [], lambda events: set()
    )
    assert account.difference == 0
    assert account.doubled == [0]
    assert not account.sound


def test_an_event_with_a_row_and_a_dead_letter_is_counted_once() -> None:
    # Of a batch that was tried again after a refused row was mended, say.
    tables = Stored(offsets({0, 1}), offsets(set()), offsets({1, 2}))
    account, *_ = settle(0, 3, tables, lambda absent: [], lambda events: set())
    assert (account.stored, account.dead, account.difference) == (2, 1, 0)
    assert account.sound


def test_an_event_with_the_message_id_of_another_project_is_no_duplicate() -> None:
    tables = Stored(offsets({0}), offsets(set()), offsets(set()))
    theirs = RawEvent(1, "another project", "message 0")
    account, *_ = settle(0, 2, tables, lambda absent: [theirs], lambda events: {("project", "message 0")})
    assert (account.duplicate, account.lost) == (0, [1])


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 7))
def test_spans_cut_the_range_without_holes(start: int, length: int, span_max: int) -> None:
    pieces = list(spans(start, start + length, span_max))
    assert [offset for first, last in pieces for offset in range(first, last)] == list(range(start, start + length))
    assert all(last - first <= span_max for first, last in pieces)


def test_missing_is_what_has_neither_row_nor_dead_letter() -> None:
    assert missing(10, 15, Stored(offsets({10, 13}), offsets(set()), offsets({11}))).tolist() == [12, 14]


def test_what_the_sink_has_not_written_is_in_flight_not_lost() -> None:
    assert frontier(committed=50, watermark=None, sink_behind=True) == 0
    assert frontier(committed=50, watermark=20, sink_behind=True) == 21
    assert frontier(committed=50, watermark=70, sink_behind=True) == 50
    # With everything written, what has no row by now never will.
    assert frontier(committed=50, watermark=20, sink_behind=False) == 50


def test_accounts_add_up() -> None:
    total = Account()
    total.add(Account(accepted=3, stored=2, duplicate=1))
    total.add(Account(accepted=2, dead=1, in_flight=1, lost=[7]))
    assert (total.accepted, total.stored, total.duplicate, total.dead, total.in_flight) == (5, 2, 1, 1, 1)
    assert total.lost == [7]
