"""What a database must be able to do, and how it says that it cannot.

SinkError
├── TableUnfitError          the table is not what the contract says; somebody has to act. Ends the process at start
├── WriteFailedError         the database is away, busy or confused: the same write is tried again, for ever
│   ├── ViewFailedError      a view that fills from the table fails: the rows may stand, or some of them, or none
│   └── LaneStoppedError     the same until somebody acts; `cause` says what for
└── RowsRefusedError         the database says the rows themselves are wrong: never tried again as they are

None of them says that nothing was written: only the table can.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sinks.batching.batch import Rows

# How many INSERTs each table had taken, as far as that can be told: the one itself, and those that views fill.
Position = Mapping[str, int]
JUST_NOW: Final[Position] = {}  # the rows were inserted a moment ago


class SinkError(Exception):
    """`retryable`: whether the same call may succeed later. `code`: the database's own number, 0 when it has none."""

    retryable = False

    def __init__(self, detail: str, code: int = 0) -> None:
        self.detail = detail
        self.code = code
        super().__init__(f"{detail} (code {code})" if code else detail)


class TableUnfitError(SinkError):
    """The table lacks, or lacks columns or the deduplication that the promise rests on."""


class WriteFailedError(SinkError):
    """Nothing is known of what became of the rows."""

    retryable = True


class ViewFailedError(WriteFailedError):
    """A view that fills from the table fails. `view`: its name, or its missing target's."""

    def __init__(self, detail: str, code: int, view: str) -> None:
        self.view = view
        super().__init__(detail, code)


class LaneStoppedError(WriteFailedError):
    """Every further try would do harm until somebody acts. `cause`: from a bounded set, for the metric.

    `drift`: as the writer told it, when that is the cause; else "".
    """

    def __init__(self, cause: str, detail: str, drift: str = "") -> None:
        self.cause = cause
        self.drift = drift
        super().__init__(detail)


class RowsRefusedError(SinkError):
    """The database calls the rows wrong. `row`: index of the one it names; None when it names none."""

    def __init__(self, detail: str, code: int = 0, row: int | None = None) -> None:
        self.row = row
        super().__init__(detail, code)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of rows that stand in a table from which views fill.

    views: their names; none means that nothing is to be healed. obstacle: why the rows must not be sent again under
    their token; None when that fills what views lack and doubles nothing. position: how many INSERTs the tables had
    taken, to be given back when it is asked again. cures: what fills a view by hand, a statement each.
    """

    views: Sequence[str] = ()
    obstacle: str | None = None
    position: Position = field(default_factory=dict)
    cures: Sequence[str] = ()


class Writer(Protocol):
    """One table of a database. Used by one thread at a time; every method may raise WriteFailedError."""

    def verify(self) -> None:
        """Raises TableUnfitError when the table cannot keep the promise."""

    def insert(self, rows: Rows, token: str, despite_views: bool = False) -> None:
        """Make all rows durable, or none; a token that was used before writes nothing, but fills what views lack.

        Raises RowsRefusedError, and ViewFailedError unless it is `despite_views`.
        """

    def trial(self) -> Callable[[Rows], None]:
        """What reads rows and stores nothing. Raises RowsRefusedError.

        A row that it refuses alone can be read neither with the contract's types nor with those of the table at this
        moment.
        """

    def present(self, partition: int, rows: Rows) -> set[int]:
        """The sources that stand in the table, of this partition, from the rows' first to their last.

        All are of the first's generation. Among them may be sources that lie between the rows and are not theirs. None
        lacks that was ever acknowledged: a server that may lag raises WriteFailedError instead.
        """

    def standing(self, partition: int, rows: Rows, position: Position | None = None) -> Standing:
        """What is known of rows that stand there. `position`: as told before, or JUST_NOW; None: nobody knows when."""

    def drift(self) -> str:
        """Which columns have another type than the contract says, for people; "" when none has."""

    def check_types(self, rows: Rows) -> None:
        """Raises LaneStoppedError when types that are not the contract's refuse some of these rows."""

    def close(self) -> None:
        """Let go of the connection."""
