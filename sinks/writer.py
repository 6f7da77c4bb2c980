"""What a database must be able to do, and how it says that it cannot.

SinkError
├── TableUnfitError     the table is not what the contract says; somebody has to act. Ends the process at start
├── WriteFailedError    the database is away, busy or confused: the same write is tried again, for ever
└── RowsRefusedError    the database says the rows themselves are wrong: never tried again as they are
"""

from collections.abc import Callable
from typing import Protocol

from sinks.batch import Rows


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


class RowsRefusedError(SinkError):
    """None of the rows was written. `row`: index of the one the database names; None when it names none."""

    def __init__(self, detail: str, code: int = 0, row: int | None = None) -> None:
        self.row = row
        super().__init__(detail, code)


class Writer(Protocol):
    """One table of a database. Used by one thread at a time; every method may raise WriteFailedError."""

    def verify(self) -> None:
        """Raises TableUnfitError when the table cannot keep the promise."""

    def insert(self, rows: Rows, token: str) -> None:
        """Make all rows durable, or none; a token that was used before writes nothing. Raises RowsRefusedError."""

    def trial(self) -> Callable[[Rows], None]:
        """What reads rows as `insert` would, at this moment, and stores nothing. Raises RowsRefusedError."""

    def present(self, partition: int, rows: Rows) -> set[int]:
        """The sources that stand in the table, of this partition, from the rows' first to their last.

        All are of the first's generation. Among them may be sources that lie between the rows and are not theirs.
        """

    def close(self) -> None:
        """Let go of the connection."""
