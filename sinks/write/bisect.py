"""Finding the rows that a database refuses: by the row it names, or by halving. Pure."""

from collections.abc import Callable, Iterator
from typing import Final

from sinks.errors import RowsRefusedError

# Rows tried at once: few enough that a bad one costs little to find, enough that a hundred thousand good ones do not
# take a hundred thousand requests.
GROUP_ROWS: Final = 1000


def refused_rows(
    count: int, attempt: Callable[[int, int], None], every: bool = False
) -> Iterator[tuple[int, RowsRefusedError]]:
    """The indexes of the rows that are refused each alone, with the error, in ascending order.

    `attempt(start, stop)` tries the rows from `start` up to `stop` and raises RowsRefusedError. A row that the error
    names is tried alone before that is believed, since a broken record can spoil the reading of its neighbours; if it
    is so, those before it have been read and are not tried again. A row outside of those tried is not believed at all.
    With `every`, because trying is writing, each row that is not refused is part of an attempt that passes.
    """
    waiting = [(start, min(start + GROUP_ROWS, count)) for start in range(0, count, GROUP_ROWS)][::-1]
    while waiting:
        start, stop = waiting.pop()
        error = _refusal(attempt, start, stop)
        if error is None:
            continue
        if stop - start == 1:
            yield start, error
            continue
        suspect = start + error.row if error.row is not None and not every else stop
        # A row that was not tried may be one that was found before: believed again, it would be found for ever.
        if start <= suspect < stop and (named := _refusal(attempt, suspect, suspect + 1)) is not None:
            yield suspect, named
            waiting += [(suspect + 1, stop)] if suspect + 1 < stop else []
        else:
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]


def _refusal(attempt: Callable[[int, int], None], start: int, stop: int) -> RowsRefusedError | None:
    try:
        attempt(start, stop)
    except RowsRefusedError as error:
        return error
    return None
