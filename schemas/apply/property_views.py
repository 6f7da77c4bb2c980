"""The views on `events` whose columns are listed when they are made, and so must follow its materialized properties.

Such a view says `e.*`, which with its setting `asterisk_include_materialized_columns` means these columns too. Written
anew, it has those that there are at that time. A view of that name whose query is not the contract's is somebody's own.
`person_events` takes parameters, so it has no list.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_driver import Client

from schemas.apply.table_shape import exists, read_view
from schemas.apply.tables import replacement, scratch_of

VIEWS: Final = ("events_resolved", "events_sessions")
_LEFT_OUT: Final = re.compile(r" EXCEPT \(?property_\w+\)?")


@dataclass(frozen=True, slots=True)
class Followed:
    """The views that were written anew, and those that are somebody's own and were left."""

    written: tuple[str, ...]
    left: tuple[str, ...]


def follow(client: Client) -> Followed:
    """Give the views the columns that `events` has; nothing where they have them, and where a view lacks (`apply`)."""
    states = list(_states(client))
    written = tuple(view for view, is_ours, is_current, _ in states if is_ours and not is_current)
    for view in written:
        client.execute(replacement(view))
    return Followed(written, tuple(view for view, is_ours, *_ in states if not is_ours))


def leave_out(client: Client, column: str) -> None:
    """Take a column out of the views, so that it can be dropped: they answer before and after. Then `follow`."""
    for view, is_ours, _, columns in _states(client):
        if is_ours and column in columns:
            client.execute(replacement(view).replace("e.*", f"e.* EXCEPT ({column})", 1))


def ours(client: Client) -> tuple[str, ...]:
    """Those of the views that are the contract's, with whichever columns."""
    return tuple(view for view, is_ours, *_ in _states(client) if is_ours)


def _states(client: Client) -> Iterator[tuple[str, bool, bool, list[str]]]:
    """Of each view that there is: whether it is the contract's, whether just so, and its columns."""
    for view in VIEWS:
        if exists(client, view):
            standing = read_view(client, view)
            with scratch_of(client, view) as scratch:
                wanted = read_view(client, scratch)
            yield view, _LEFT_OUT.sub("", standing[0]) == wanted[0], standing == wanted, _names(standing)


def _names(shape: tuple[Any, ...]) -> list[str]:
    ((columns,),) = shape[1]
    return [name for name, _ in columns]
