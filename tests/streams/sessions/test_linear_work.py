"""The work for a key grows with its events, whatever their order and however many half-hours they are in.

Work is the bytecodes executed in `streams.sessions`: the same on every machine.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import pytest

from streams.sessions.chains import SessionRules
from streams.sessions.state import decode_state, encode_state
from tests.streams.sessions.test_sessionize_law import Fold, visitors_row
from tests.streams.universe import TENANT, Row, placed

HALF_HOUR_MS: Final = 1_800_000
DAY_MS: Final = 86_400_000
DEFAULTS: Final = SessionRules(gap_ms=HALF_HOUR_MS, lateness_ms=DAY_MS, cells_max=48)
FIRST_MS: Final = 20_000 * DAY_MS


class Work:
    """Counts."""

    def __init__(self) -> None:
        self.steps = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Whatever the block does is counted."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        if "streams/sessions/" not in frame.f_code.co_filename or "/tests/" in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        self.steps += event == "opcode"
        return self._step


def row_at(number: int, ms: int, received_ms: int | None = None, key: str = "v/ann") -> Row:
    at = FIRST_MS + ms
    row = visitors_row(number, 0) | {"timestamp": at, "received_at": at if received_ms is None else received_ms}
    return row | {"key": f"{TENANT}/{row['project_id']}/{key}".encode()}


def work_of_one_chunk(cells: Sequence[int]) -> int:
    """Of one visitor with an event in each of the cells, in this order, all received together."""
    received_ms = FIRST_MS + (max(cells) + 1) * HALF_HOUR_MS
    rows = placed(row_at(number, cell * HALF_HOUR_MS, received_ms) for number, cell in enumerate(cells))
    fold, work = Fold(DEFAULTS), Work()
    with work.counted():
        fold.take(rows)
        fold.end_epoch()
    assert sum(row["event_count"] for row in fold.live().values()) == len(rows)
    return work.steps


ORDERS: Final[dict[str, Callable[[int], list[int]]]] = {
    "rising": lambda count: list(range(count)),
    "falling": lambda count: list(reversed(range(count))),
    "random": lambda count: random.Random(1).sample(range(count), count),
    "all but one late": lambda count: [2 * count, *range(count - 1)],
    "every other half-hour, then those between": lambda count: [*range(0, count, 2), *range(1, count, 2)],
}


@pytest.mark.parametrize("order", ORDERS)
def test_twice_the_half_hours_in_a_chunk_are_twice_the_work(order: str) -> None:
    once, twice = (work_of_one_chunk(ORDERS[order](count)) for count in (400, 800))
    assert twice < 2.2 * once
    assert twice < 800 * 2_000  # an event: about 1,000


def work_of_days(fold: Fold, days: range, minutes_of_day: range, key: str) -> float:
    """Steps for an event of a visitor whose days are such, an epoch for every two hours of its events."""
    work, epoch = Work(), 120 // minutes_of_day.step
    for day in days:
        minutes = [(day, minute) for minute in minutes_of_day]
        for start in range(0, len(minutes), epoch):
            part = minutes[start : start + epoch]
            numbers = (1_440 * day + minute for day, minute in part)
            rows = placed(row_at(number, number * 60_000, key=key) for number in numbers)
            with work.counted():
                fold.take([row | {"source_offset": row["timestamp"]} for row in rows])
                fold.end_epoch()
            for name, state in fold.states.by_key.items():
                fold.states.by_key[name] = decode_state(encode_state(state))
    return work.steps / (len(days) * len(minutes_of_day))


def test_who_is_never_silent_costs_as_much_as_others() -> None:
    always, ordinary = Fold(DEFAULTS), Fold(DEFAULTS)
    work_of_days(always, range(2), range(0, 1_440, 20), "v/always")
    of_always = work_of_days(always, range(2, 4), range(0, 1_440, 20), "v/always")
    of_ordinary = work_of_days(ordinary, range(4), range(0, 120, 20), "v/ordinary")
    assert of_always < 2 * of_ordinary
    (state,) = always.states.by_key.values()
    assert len(state.slices) <= 3
    assert sorted(row["event_count"] for row in always.live().values()) == [72] * 4
