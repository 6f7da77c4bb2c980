"""Views that lack rows of their table: the same rows are sent again under the same token, while that is safe.

The table knows the token and takes nothing; a view whose target has a deduplication window takes what it lacks. A view
is mended by dropping it and making it anew: while it is not there its rows wait, and so they do when it was not there
all the time that they were sent. The server tells rows sent again by token and view, and knows a view by its name: made
anew it is the same. Renamed, or altered in place, it is another and would take them twice.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog

from sinks.batching.batch import Rows
from sinks.errors import RowsRefusedError, ViewFailedError, WriteFailedError
from sinks.write.writer import JUST_NOW, Position, Standing, Version, Writer

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
    """Rows that were inserted under `token` when the tables were at `position`; None: nobody could tell.

    known: the views that were there, as they were last seen; views: those that may lack the rows; certain: those that
    do, as an INSERT failed in them.
    """

    partition: int
    rows: Rows
    token: str
    known: Mapping[str, Version]
    views: Set[str]
    certain: Set[str]
    position: Position | None
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
        known = dict(standing.views)
        if failed and failed not in {*standing.position, *standing.unseen}:  # an error may name a missing target
            known.setdefault(failed, Version("", ""))  # although it may be gone by now
        place = standing.position or None  # nothing is known of tables that cannot be looked at
        lacking = _Lacking(partition, rows, token, known, set(known), {failed} & set(known), place, standing.statements)
        obstacle = standing.obstacle
        if not known:
            if not standing.unseen:
                return False
            obstacle = f"{', '.join(standing.unseen)} cannot be looked at"
        if obstacle is not None:
            self._give_up(lacking, obstacle)
            return False
        # A killed process forgets them, and then these lines are all there is.
        log.warning(
            "rows wait to be sent again for the views: fill nothing by hand and make no view with POPULATE meanwhile",
            token=token,
            rows=len(rows),
            statements=list(standing.statements),
        )
        self._lacking.append(lacking)
        while sum(held.size for held in self._lacking) > self._bytes_max:
            self._give_up(self._lacking.popleft(), "too much waits (sinks_heal_bytes_max)")
        self._tell()
        return bool(self._lacking) and self._lacking[-1] is lacking

    def _attempt(self, lacking: _Lacking) -> None:
        self._lacking.remove(lacking)
        try:
            standing = self._writer.standing(lacking.partition, lacking.rows, lacking.position)
        except WriteFailedError as error:
            self._wait(lacking, str(error))
        else:
            self._judge(lacking, standing)
        self._tell()

    def _judge(self, lacking: _Lacking, standing: Standing) -> None:
        """Give the rows up, let them wait, or send them."""
        lacking = replace(lacking, statements=standing.statements or lacking.statements)
        if (obstacle := standing.obstacle or _doubling(lacking, standing)) is not None:
            self._give_up(lacking, obstacle)
            return
        seen = {view: version for view, version in standing.views.items() if version.made}
        place = lacking.position or standing.position or None
        lacking = replace(lacking, known={**lacking.known, **seen}, position=place)
        if standing.unseen:
            self._wait(lacking, f"{', '.join(standing.unseen)} cannot be looked at")
        elif not lacking.views & standing.views.keys():
            self._wait_for(lacking, lacking.views)
        else:
            self._send(lacking, standing.views)

    def _send(self, lacking: _Lacking, there: Mapping[str, Version]) -> None:
        sent = replace(lacking, certain=set())
        try:
            self._writer.insert(lacking.rows, lacking.token)
            log.info("rows sent again for the views", token=lacking.token, rows=len(lacking.rows))
            after = self._writer.standing(lacking.partition, lacking.rows, lacking.position).views
        except ViewFailedError as error:
            self._wait(replace(sent, certain={error.view}), str(error))
        except (WriteFailedError, RowsRefusedError) as error:
            self._wait(sent, str(error))
        else:
            if left := lacking.views - {view for view in there if after.get(view) == there[view]}:
                self._wait_for(sent, left)
            else:
                self._pause_s = _FIRST_PAUSE_S

    def _wait_for(self, lacking: _Lacking, views: Set[str]) -> None:
        """For views that were not there to take the rows."""
        self._wait(replace(lacking, views=views), f"not there: {', '.join(sorted(views))}")

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


def _doubling(lacking: _Lacking, standing: Standing) -> str | None:
    """Why some view would take the rows twice, as far as its own history tells."""
    if strange := standing.views.keys() - lacking.known.keys():
        return f"{', '.join(sorted(strange))} may have them, and was not there when they were inserted"
    altered = [
        view
        for view, version in standing.views.items()
        if version.made == lacking.known[view].made and version != lacking.known[view] and view not in lacking.certain
    ]
    if altered:
        return f"{', '.join(sorted(altered))} may have them, and was altered since: the server knows it no more"
    return None
