"""Views that lack rows of their table: the same rows are sent again under the same token, while that is safe.

The table knows the token and takes nothing; a view whose target has a deduplication window takes what it lacks. A view
is mended by dropping it and making it anew: while it is not there its rows wait, and so they do when it was not there
all the time that they were sent.
"""

from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from sinks.batching.batch import Rows
from sinks.errors import RowsRefusedError, WriteFailedError
from sinks.write.writer import JUST_NOW, Position, Writer

log = structlog.get_logger()

_FIRST_PAUSE_S: Final = 1.0


class ViewReport(Protocol):
    """What the metrics are told of views."""

    def view_failed(self, view: str) -> None:
        """An INSERT failed in a view."""

    def views_lack(self, rows: int) -> None:
        """So many rows stand in the table, may be missing in a view, and will be sent again."""

    def views_given_up(self, rows: int) -> None:
        """So many rows may be missing in a view and are not sent again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lacking:
    """Rows that were inserted under `token` when the tables were at `position`.

    known: the views that were there; views: those of them that may lack the rows.
    """

    partition: int
    rows: Rows
    token: str
    known: Set[str]
    views: Set[str]
    position: Position
    statements: Sequence[str]

    @property
    def size(self) -> int:
        return sum(map(len, self.rows.values))


class Healing:
    """For one table, on the thread that writes to it. Holds at most `bytes_max` of records."""

    def __init__(
        self,
        writer: Writer,
        report: ViewReport,
        bytes_max: int,
        pause_s_max: float,
        clock: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._report = report
        self._bytes_max = bytes_max
        self._pause_s_max = pause_s_max
        self._clock = clock
        self._lacking: deque[_Lacking] = deque()
        self._pause_s = _FIRST_PAUSE_S
        self._not_before = 0.0

    def failed(self, partition: int, rows: Rows, token: str, view: str, error: str) -> None:
        """A view made the INSERT of these rows fail; they stand. Raises WriteFailedError."""
        log.error(
            "a view fails: the rows stand in the table, the view lacks them",
            view=view or "(not named)",
            token=token,
            rows=len(rows),
            error=error,
        )
        self._report.view_failed(view)
        self._take(partition, rows, token, JUST_NOW, view)
        self._not_before = self._clock() + self._pause_s

    def found(self, partition: int, rows: Rows, token: str) -> None:
        """These rows were found standing: nobody knows whether their INSERT came as far as the views.

        `token`: under which they were inserted. Raises WriteFailedError.
        """
        if self._take(partition, rows, token, None):
            self._attempt(self._lacking[-1])

    def attempt(self) -> None:
        """Send some of the rows again, if there are any and it is time."""
        if self._lacking and self._clock() >= self._not_before:
            self._attempt(self._lacking[0])

    def close(self) -> None:
        """Say what was not healed."""
        while self._lacking:
            self._give_up(self._lacking.popleft(), "the sink ends")

    def _take(self, partition: int, rows: Rows, token: str, position: Position | None, failed: str = "") -> bool:
        standing = self._writer.standing(partition, rows, position)
        views = set(standing.views)
        if failed and failed not in {*standing.position, *standing.unseen}:  # an error may name a missing target
            views.add(failed)  # although it may be gone by now
        if not views:
            return False
        lacking = _Lacking(partition, rows, token, views, views, standing.position, standing.statements)
        if standing.obstacle is not None:
            self._give_up(lacking, standing.obstacle)
            return False
        # A killed process forgets them, and then these lines are all there is.
        statements = list(standing.statements)
        log.warning("rows wait to be sent again for the views", token=token, rows=len(rows), statements=statements)
        self._lacking.append(lacking)
        while sum(held.size for held in self._lacking) > self._bytes_max:
            self._give_up(self._lacking.popleft(), "too much waits (sinks_heal_bytes_max)")
        self._tell()
        return bool(self._lacking) and self._lacking[-1] is lacking

    def _attempt(self, lacking: _Lacking) -> None:
        self._lacking.remove(lacking)
        try:
            if left := self._send(lacking):
                self._wait(replace(lacking, views=left), f"not there: {', '.join(sorted(left))}")
            else:
                self._pause_s = _FIRST_PAUSE_S
        except (WriteFailedError, RowsRefusedError) as error:
            self._wait(lacking, str(error))
        self._tell()

    def _send(self, lacking: _Lacking) -> Set[str]:
        """The views that were not there to take the rows; none when nothing more is to be done for them."""
        standing = self._writer.standing(lacking.partition, lacking.rows, lacking.position)
        there = lacking.views & standing.views.keys()
        obstacle = standing.obstacle
        if strange := standing.views.keys() - lacking.known:
            # The server tells rows sent again by token and view: a renamed view takes them twice.
            obstacle = f"{', '.join(sorted(strange))} may have them, and was not there when they were inserted"
        if obstacle is not None:
            if there or strange:
                self._give_up(lacking, obstacle)
            else:
                log.info("the views that lack rows are gone", token=lacking.token, views=sorted(lacking.views))
            return set()
        if standing.unseen:
            raise WriteFailedError(f"{', '.join(standing.unseen)} cannot be looked at")
        if not there:
            return lacking.views
        self._writer.insert(lacking.rows, lacking.token)
        log.info("rows sent again for the views", token=lacking.token, rows=len(lacking.rows))
        after = self._writer.standing(lacking.partition, lacking.rows, lacking.position).views
        return lacking.views - {view for view in there if after.get(view) == standing.views[view]}

    def _wait(self, lacking: _Lacking, why: str) -> None:
        """To the end: a view may fail on some rows only."""
        self._lacking.append(lacking)
        self._not_before = self._clock() + self._pause_s
        log.warning("a view still lacks rows", token=lacking.token, pause_s=self._pause_s, error=why)
        self._pause_s = min(self._pause_s * 2, self._pause_s_max)

    def _give_up(self, lacking: _Lacking, reason: str) -> None:
        log.error(
            "views may lack rows for good: fill them by hand",
            token=lacking.token,
            rows=len(lacking.rows),
            reason=reason,
            statements=list(lacking.statements),
        )
        self._report.views_given_up(len(lacking.rows))

    def _tell(self) -> None:
        self._report.views_lack(sum(len(held.rows) for held in self._lacking))
