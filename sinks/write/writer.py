"""What a database must be able to do: one that can is a folder beside `clickhouse/`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sinks.batching.batch import Rows

# How many INSERTs each table had taken, as far as that can be told: the one itself, and those that views fill.
Position = Mapping[str, int]
JUST_NOW: Final[Position] = {}  # the rows were inserted a moment ago


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of rows that stand in a table from which views fill.

    views: their names, each with what becomes another when the view is made anew. obstacle: why the rows must not be
    sent again under their token; None when that fills what views lack and doubles nothing. position: how many INSERTs
    the tables had taken, to be given back when it is asked again. statements: what fills a view by hand, one each.
    unseen: views and targets that cannot be looked at, be it because they are being made anew.
    """

    views: Mapping[str, str] = field(default_factory=dict)
    obstacle: str | None = None
    position: Position = field(default_factory=dict)
    statements: Sequence[str] = ()
    unseen: Sequence[str] = ()


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
        is missing that was ever acknowledged: a server that may lag raises WriteFailedError instead.
        """

    def standing(self, partition: int, rows: Rows, position: Position | None = None) -> Standing:
        """What is known of rows that stand there. `position`: as told before, or JUST_NOW; None: nobody knows when."""

    def drift(self) -> str:
        """Which columns have another type than the contract says, for people; "" when none has."""

    def check_types(self, rows: Rows) -> None:
        """Raises TopicStoppedError when types that are not the contract's refuse some of these rows."""

    def close(self) -> None:
        """Let go of the connection."""
