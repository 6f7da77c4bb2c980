"""What a database must be able to do: one that can is a folder beside `clickhouse/`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from sinks.batching.batch import Rows


class Place(NamedTuple):
    """A table at one moment. made: becomes another when it is made anew; inserts: how many it had taken."""

    made: str
    inserts: int


class Version(NamedTuple):
    """A view at one moment. made: becomes another when it is made anew; altered: when it is altered in place.

    Both are empty for a view that is told of and cannot be looked at.
    """

    made: str
    altered: str


# Where each table was, as far as that can be told: the one itself, and those that views fill.
Position = Mapping[str, Place]
JUST_NOW: Final[Position] = {}  # the rows were inserted a moment ago


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of rows that stand in a table from which views fill.

    views: as they are now, by name. obstacle: why the rows must not be sent again under their token; None when that
    fills what views lack and doubles nothing. position: to be given back when it is asked again. statements: what fills
    a view by hand, one each. unseen: what cannot be looked at, be it because it is being made anew: views, targets, or
    the table itself, of which nothing is known then.
    """

    views: Mapping[str, Version] = field(default_factory=dict)
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
