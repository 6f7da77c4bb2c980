"""The search finds exactly the rows that are refused alone, however the database names them."""

from collections.abc import Callable
from itertools import islice

from hypothesis import example, given
from hypothesis import strategies as st

from sinks.errors import RowsRefusedError
from sinks.write.bisect import GROUP_ROWS, refused_rows

SIZE = 3 * GROUP_ROWS + 17
poisons = st.sets(st.integers(0, SIZE - 1), max_size=8)


def attempts(
    poison: set[int], name: Callable[[int, int, int], int | None]
) -> tuple[Callable[[int, int], None], list[range]]:
    """An attempt that refuses ranges with poison, and the list of the ranges that passed."""
    passed: list[range] = []

    def attempt(start: int, stop: int) -> None:
        bad = [row for row in poison if start <= row < stop]
        if bad:
            raise RowsRefusedError("bad", 376, name(start, stop, min(bad)))
        passed.append(range(start, stop))

    return attempt, passed


@given(poisons, st.booleans())
def test_finds_what_is_refused_when_the_row_is_named(poison: set[int], every: bool) -> None:
    attempt, passed = attempts(poison, lambda start, _stop, row: row - start)
    assert [row for row, _ in refused_rows(SIZE, attempt, every)] == sorted(poison)
    if every:
        assert sorted(row for part in passed for row in part) == sorted(set(range(SIZE)) - poison)


@given(poisons, st.booleans())
def test_finds_what_is_refused_when_no_row_is_named(poison: set[int], every: bool) -> None:
    attempt, passed = attempts(poison, lambda *_: None)
    assert [row for row, _ in refused_rows(SIZE, attempt, every)] == sorted(poison)
    assert sorted(row for part in passed for row in part) == sorted(set(range(SIZE)) - poison)


@given(poisons, st.integers(-3, 3 * GROUP_ROWS))
@example({GROUP_ROWS - 1, GROUP_ROWS}, -1)
@example({GROUP_ROWS - 3, GROUP_ROWS + 1}, -3)
def test_finds_what_is_refused_when_a_wrong_row_is_named(poison: set[int], wrong: int) -> None:
    attempt, _ = attempts(poison, lambda *_: wrong)
    found = [row for row, _ in islice(refused_rows(SIZE, attempt), len(poison) + 1)]
    assert len(found) <= len(poison)
    # A named row that is bad itself hides those before it in this search: the write that follows is refused then, and
    # looks for them with every.
    assert set(found) <= poison
    attempt, _ = attempts(poison, lambda *_: wrong)
    assert [row for row, _ in refused_rows(SIZE, attempt, every=True)] == sorted(poison)


def test_few_bad_rows_take_few_attempts() -> None:
    attempt, passed = attempts({5, 1500}, lambda start, _stop, row: row - start)
    list(refused_rows(SIZE, attempt))
    assert len(passed) <= SIZE // GROUP_ROWS + 1 + 2 * 2
