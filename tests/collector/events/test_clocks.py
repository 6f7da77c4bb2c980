"""Whose clock is believed: order within a device, wrong clocks, and the history that imports bring."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.times import corrected
from schemas.settings import load
from tests.collector.made import RECEIVED_AT, admit_all, batch, track

WAY_MS_MAX = load({}).collector_way_ms_max
DAY_MS = 86_400_000


def timestamp_of(captured: int, sent: int, received: int = RECEIVED_AT, **changes: Any) -> int:
    sent_batch = batch(track(timestamp=captured), sentAt=sent)
    (event,) = admit_all(sent_batch, received_at=received, **changes).admitted
    return event.timestamp


@given(
    st.lists(st.tuples(st.integers(0, 600_000), st.integers(0, 30_000), st.integers(0, WAY_MS_MAX)), min_size=2),
)
def test_events_of_a_device_whose_clock_is_right_keep_their_order_however_slow_their_requests(
    events: list[tuple[int, int, int]],
) -> None:
    times = []
    for captured, kept, way in events:
        at = RECEIVED_AT + captured
        times.append((at, corrected(at, at + kept, at + kept + way, WAY_MS_MAX)))
    assert [found for _, found in sorted(times)] == sorted(found for _, found in times)


def test_a_stalled_request_does_not_move_its_events_behind_later_ones() -> None:
    later = timestamp_of(RECEIVED_AT - 3_000, RECEIVED_AT - 1_000)
    earlier = timestamp_of(RECEIVED_AT - 43_000, RECEIVED_AT - 42_000)
    assert earlier < later


@pytest.mark.parametrize("skew_ms", [-3 * 3_600_000, -5_000, WAY_MS_MAX + 1, 3 * 3_600_000, 400 * DAY_MS])
def test_a_wrong_clock_is_corrected_by_its_skew(skew_ms: int) -> None:
    assert timestamp_of(RECEIVED_AT - skew_ms - 9_000, RECEIVED_AT - skew_ms) == RECEIVED_AT - 9_000


@given(st.integers(0, 300_000), st.integers(-(10**9), 10**9))
def test_no_event_lies_after_its_arrival_when_it_was_sent_after_it_happened(kept: int, skew: int) -> None:
    sent_at = RECEIVED_AT - skew
    assert corrected(sent_at - kept, sent_at, RECEIVED_AT, WAY_MS_MAX) <= RECEIVED_AT


def test_with_no_way_allowed_the_formula_of_segment_holds() -> None:
    assert corrected(100, 150, 200, 0) == 150
    assert corrected(100, 200, 200, 0) == 100


@pytest.mark.parametrize("days", [366, 500, 729, 730])
def test_an_import_keeps_times_as_old_as_the_table(days: int) -> None:
    at = RECEIVED_AT - days * DAY_MS
    assert timestamp_of(at, RECEIVED_AT, is_import=True) == at
    assert timestamp_of(at, RECEIVED_AT) == RECEIVED_AT


def test_an_import_of_what_the_table_would_delete_at_once_is_of_now() -> None:
    assert timestamp_of(RECEIVED_AT - 731 * DAY_MS, RECEIVED_AT, is_import=True) == RECEIVED_AT
