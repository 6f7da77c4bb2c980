"""A session's name is never that of another one, though the state that knew of the other has left."""

from typing import Final

import pytest

from schemas.codec import Codec
from schemas.outcomes import Remark
from schemas.settings import Settings
from streams.events.chain import EventChain
from streams.runtime.eviction import Evictor
from streams.runtime.operator import Records
from streams.runtime.state_cache import StateCache
from streams.sessions.chains import SessionRules
from streams.sessions.late import LATE_SLICES_MAX
from streams.sessions.state import SessionStateCodec
from streams.topology import rules
from tests.streams.raw import IDS, RAW, key_of, raw_event
from tests.streams.readers import live
from tests.streams.runtime.tables import FakeTable
from tests.streams.sessions.test_linear_work import DAY_MS, DEFAULTS, FIRST_MS, HALF_HOUR_MS, row_at
from tests.streams.sessions.test_sessionize_law import Fold, epochs_of, visitors_rows
from tests.streams.universe import START_MS, Row, placed
from tests.streams.world import conversions, simple_lookups

KEYS: Final = ("v/ann", "s/ann/1718")


def counts(fold: Fold) -> list[int]:
    """Events of each session that a reader sees."""
    return sorted(row["event_count"] for row in fold.live().values())


@pytest.mark.parametrize("key", KEYS)
def test_events_that_come_after_the_state_left_make_sessions_of_their_own(key: str) -> None:
    timely = [row_at(number, number, key=key) for number in range(5)]
    offline = [row_at(10 + days, 60_000 + days, FIRST_MS + days * DAY_MS, key) for days in (15, 30)]
    rows = placed([*timely, *offline])
    fold = Fold(DEFAULTS)
    for part in (rows[:5], rows[5:6], rows[6:]):
        epochs_of(fold, part)
        fold.states.by_key.clear()
    assert counts(fold) == [1, 1, 5]


@pytest.mark.parametrize("key", KEYS)
def test_a_visit_after_the_state_left_is_a_session_of_its_own(key: str) -> None:
    fold = Fold(DEFAULTS)
    for day in (0, 10):
        epochs_of(fold, placed([row_at(day, day * DAY_MS, key=key)]))
        fold.states.by_key.clear()
    assert counts(fold) == [1, 1]


def test_events_of_long_ago_in_a_new_state_are_sessions_as_ever() -> None:
    """An import, or an app's first delivery: nothing of it is late."""
    minutes = (0, 20, 45, 300, 310)
    rows = placed(row_at(number, minute * 60_000, FIRST_MS + 90 * DAY_MS) for number, minute in enumerate(minutes))
    for order in (rows, list(reversed(rows))):
        fold = Fold(DEFAULTS)
        epochs_of(fold, *([row] for row in placed(order)))
        assert counts(fold) == [2, 3]


def test_more_late_half_hours_than_a_state_keeps_lose_nothing() -> None:
    late = [*range(0, 9 * LATE_SLICES_MAX, 3), 0, 3, 6, 0]
    rows = visitors_rows(20_000, *late)
    fold = Fold()
    epochs_of(fold, rows[:1], *(rows[start : start + 50] for start in range(1, len(rows), 50)))
    assert sum(counts(fold)) == len(rows)
    assert counts(fold)[-1] == 2  # the first half-hour of all came twice again, in a later round


def test_late_events_and_rounds_of_them_are_counted() -> None:
    fold = Fold()
    epochs_of(fold, visitors_rows(20_000, *range(0, 6 * LATE_SLICES_MAX + 3, 3)))
    assert fold.remarks == {Remark.LATE: 2 * LATE_SLICES_MAX + 1, Remark.LATE_ROUND: 2}


@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_rounds_of_late_events_are_the_same_for_every_cut_of_the_log(chunk: int) -> None:
    late = [3 * (number * 37 % 251) for number in range(3 * LATE_SLICES_MAX)]
    rows = visitors_rows(20_000, *late)
    cut, whole = Fold(), Fold()
    epochs_of(cut, *(rows[start : start + chunk] for start in range(0, len(rows), chunk)))
    whole.take(rows[:1])
    whole.take(rows[1:])
    whole.end_epoch()
    assert cut.live() == whole.live()


def test_a_generation_that_knows_no_states_overwrites_no_session() -> None:
    rows = placed([row_at(number, number) for number in range(5)])
    old, new = (Fold(SessionRules(HALF_HOUR_MS, DAY_MS, 48, generation=number)) for number in (1, 2))
    epochs_of(old, rows[:4])
    epochs_of(new, rows[4:])
    assert sorted(row["event_count"] for row in live([*old.emitted, *new.emitted]).values()) == [1, 4]


def test_with_the_settings_as_they_are_an_offline_event_two_weeks_later_leaves_the_session_alone() -> None:
    settings, table = Settings.model_validate({}), FakeTable("sessions")
    silent_ms = (settings.streams_dedup_window_s + settings.streams_lateness_s_max) * 1000
    states = StateCache(table, SessionStateCodec(), Evictor(silent_ms))
    chain = EventChain(
        "raw_events", states, rules(settings), simple_lookups(), conversions(), IDS, lambda: 7
    )  # fmt: skip
    codec, found, offset = Codec("sessions", IDS), [], 0
    events: list[list[Row]] = [[raw_event(n, **of("ann", START_MS + n)) for n in range(5)]]
    events += [[raw_event(100 + day, **of(f"other {day}", START_MS + day * DAY_MS))] for day in range(1, 15)]
    events += [[raw_event(99, **of("ann", START_MS + 60_000, START_MS + 15 * DAY_MS))]]
    for epoch in events:
        keys, offsets = [key_of(event) for event in epoch], list(range(offset, offset + len(epoch)))
        chain.process(Records([0] * len(epoch), offsets, keys, [RAW.encode(event) for event in epoch]))
        found += [codec.decode(record["value"]) for record in chain.end_epoch().outputs.records["sessions"]]
        chain.confirm({})
        offset += len(epoch)
    of_ann = [row["event_count"] for row in live(found).values() if row["anonymous_id"] == "ann"]
    assert sorted(of_ann) == [1, 5]


def of(anonymous_id: str, at: int, received_at: int | None = None) -> Row:
    return {"anonymous_id": anonymous_id, "timestamp": at, "received_at": received_at or at}
