"""Columns of a chunk → groups: the events of one key in one cell, and which of them have which fact. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.compute as pc

from schemas.outcomes import Remark
from streams.sessions.chains import SessionRules
from streams.sessions.conversions import convert
from streams.sessions.late import put_apart
from streams.sessions.slices import MOMENT_BITS, TIMESTAMP_BITS
from streams.sessions.state import SessionState

CLIENT_CELL: Final = 0  # of a client's session that is not cut: it is one slice


Bools = npt.NDArray[np.bool_]  # (n,): of which rows something is true


class Fact(NamedTuple):
    """What a slice takes from its first event that has it.

    at: the member of `Slice` with that event's moment; columns: by the members that they become; has: which events of
    a chunk. site: the column with a URL whose own site does not count as a text of these.
    """

    at: str
    columns: Mapping[str, str]
    has: Callable[[pl.DataFrame, Bools], Bools]
    site: str = ""


_UTM: Final = ("utm_source", "utm_medium", "utm_campaign")
# The place of each is its bit in `Slice.had`, which states hold: new facts come last. `has` is given the chunk, and
# which of its rows are conversions.
FACTS: Final = (
    Fact("first_at", {"channel_type": "channel_type"}, lambda frame, _: np.ones(len(frame), dtype=bool)),
    Fact("entry_at", {"entry_page": "page_path"}, lambda frame, _: _told(frame, "page_path")),
    # Of the first event with a page, empty or not: later pages of a visit that began directly name the site itself.
    Fact(
        "referrer_at",
        {"referrer": "page_referrer"},
        lambda frame, _: _told(frame, "page_path") | _told(frame, "page_referrer"),
        site="page_url",
    ),
    Fact("campaign_at", {name: name for name in _UTM}, lambda frame, _: _any_known(frame, _UTM)),
    Fact("device_at", {"device_type": "device_type"}, lambda frame, _: _told(frame, "device_type")),
    Fact("country_at", {"country_code": "country_code"}, lambda frame, _: _told(frame, "country_code")),
    Fact("anonymous_at", {"anonymous_id": "anonymous_id"}, lambda frame, _: _told(frame, "anonymous_id")),
    Fact("conversion_at", {"conversion_event": "event_name"}, lambda _, is_conversion: is_conversion),
)


def _told(frame: pl.DataFrame, column: str) -> Bools:
    """Where a column has a text, neither null nor empty."""
    told = frame[column] != ""
    return (told.fill_null(value=False) if told.null_count() else told).to_numpy()


def _known(frame: pl.DataFrame, column: str) -> Bools:
    """Where a column is not null."""
    texts = frame[column]
    if not texts.null_count():
        return np.ones(len(frame), dtype=bool)
    return pl.Series(texts.to_arrow(compat_level=pl.CompatLevel.oldest()).is_valid()).to_numpy()


def _any_known(frame: pl.DataFrame, columns: Sequence[str]) -> Bools:
    found: Bools = np.logical_or.reduce([_known(frame, column) for column in columns])
    return found


# An address of IPv6 has colons. `www.` is the same site to people, and other names of a domain may be other sites.
_SITE: Final = r"^[A-Za-z][\w+.-]*://(?:[^/?#@]*@)?(?i:www\.)?(?P<site>\[[^\]]*\]|[^/?#:]+)"


def outside(texts: pl.Series, urls: pl.Series) -> list[str]:
    """The URLs `texts`, '' where they are of the same site as those of `urls`."""
    sites = zip(_sites(texts), _sites(urls), strict=True)
    return [
        "" if own is not None and own == other else text
        for text, (own, other) in zip(texts.to_list(), sites, strict=True)
    ]


def _sites(urls: pl.Series) -> list[str | None]:
    found = pc.extract_regex(urls.to_arrow(compat_level=pl.CompatLevel.oldest()), _SITE)
    sites: list[str | None] = pc.utf8_lower(pc.struct_field(found, [0])).to_pylist()
    valid: list[bool] = found.is_valid().to_pylist()
    return [site if known else None for site, known in zip(sites, valid, strict=True)]


def behind(frame: pl.DataFrame, states: Sequence[SessionState]) -> npt.NDArray[np.int64]:
    """How many ms each row lies before the newest event of its key that arrived before it: (n,), 0 when in order.

    Of one key, 10:05, 10:03 and 10:04 are behind by 0, 2 and 1 minutes.

    Decided row by row, so that the same log gives the same answer however it is cut into chunks.
    """
    state_index = frame["state_index"].to_numpy().astype(np.int64)
    timestamps = frame["timestamp"].cast(pl.Int64).to_numpy()
    reached = np.array([state.newest_at for state in states], dtype=np.int64)[state_index] >> MOMENT_BITS
    order = np.argsort(state_index, kind="stable")
    # Lifted so that each key lies above the one before it: one running maximum serves them all.
    lift = state_index[order] << TIMESTAMP_BITS
    reached[order] = np.maximum(reached[order], np.maximum.accumulate(timestamps[order] + lift) - lift)
    behind: npt.NDArray[np.int64] = np.maximum(reached - timestamps, 0)
    return behind


def cells_of(
    frame: pl.DataFrame,
    behind_ms: npt.NDArray[np.int64],
    states: Sequence[SessionState],
    rules: SessionRules,
    remark: Callable[[Remark, int], None],
) -> npt.NDArray[np.int64]:
    """The cell of each row: (n,). Begins rounds of late events."""
    cells = frame["timestamp"].cast(pl.Int64).to_numpy() // rules.gap_ms
    late = behind_ms > rules.lateness_ms
    if rules.client_whole:
        is_client = frame["client_session_id"].is_not_null().to_numpy()
        cells[is_client] = CLIENT_CELL
        late &= ~is_client
    if late.any():
        remark(Remark.LATE, int(late.sum()))
        remark(Remark.LATE_ROUND, put_apart(cells, late, frame["state_index"].to_numpy(), states))
    return cells


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a chunk, (g,) each, in order of time.

    places: of their states; cells; events, pages, bots: how many; had: bits of the facts that an event of the group
    has. Rows of the chunk, -1 where a group has none: last, and the last with a page (exit) and with a user (user); the
    first with a fact, by the fact's `at`, as arrays, since few groups are asked. of_row: (n,), the group of each row.
    """

    places: list[int]
    cells: list[int]
    events: list[int]
    pages: list[int]
    bots: list[int]
    had: list[int]
    last: list[int]
    exit: list[int]
    user: list[int]
    facts: Mapping[str, npt.NDArray[np.intp]]
    of_row: npt.NDArray[np.intp]


def moments_of(frame: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The moment of each row: (n,)."""
    ties = (frame["hash"].to_numpy() >> np.uint64(64 - MOMENT_BITS)).astype(np.int64)
    moments: npt.NDArray[np.int64] = (frame["timestamp"].cast(pl.Int64).to_numpy() << MOMENT_BITS) + ties
    return moments


def group_by_cell(
    frame: pl.DataFrame,
    moments: npt.NDArray[np.int64],
    cells: npt.NDArray[np.int64],
    conversions: Mapping[str, frozenset[str]],
) -> Groups:
    """Group the rows by state and cell."""
    by_time = np.argsort(moments, kind="stable")
    places = frame["state_index"].to_numpy()
    # `ranks`: places in time of the rows, group by group, and in order of time within each.
    ranks = np.lexsort((cells[by_time], places[by_time]))
    rows = by_time[ranks]
    starts = _starts(places[rows], cells[rows])
    first = ranks[starts]
    in_time = np.argsort(first)  # the groups, by their first event
    counts = np.diff(starts, append=len(rows))

    def rows_at(found: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """The rows at such places in time."""
        return np.where((found >= 0) & (found < len(rows)), by_time.take(found, mode="clip"), -1)

    def sums(of: Bools) -> list[int]:
        summed: list[int] = np.add.reduceat(of[rows], starts, dtype=np.int64)[in_time].tolist()
        return summed

    def lasts(of: Bools) -> list[int]:
        listed: list[int] = rows_at(np.maximum.reduceat(np.where(of[rows], ranks, -1), starts)[in_time]).tolist()
        return listed

    facts: dict[str, npt.NDArray[np.intp]] = {}
    had = np.zeros(len(starts), dtype=np.int64)
    is_conversion = convert(frame, conversions).to_numpy()
    for bit, fact in enumerate(FACTS):
        firsts = np.minimum.reduceat(np.where(fact.has(frame, is_conversion)[rows], ranks, len(rows)), starts)[in_time]
        had |= (firsts < len(rows)).astype(np.int64) << bit
        facts[fact.at] = rows_at(firsts)
    types = frame["event_type"]
    of_row = np.empty(len(rows), dtype=np.intp)
    of_row[rows] = np.repeat(np.argsort(in_time), counts)
    return Groups(
        places=places[rows[starts]][in_time].tolist(),
        cells=cells[rows[starts]][in_time].tolist(),
        events=counts[in_time].tolist(),
        pages=sums(((types == "page") | (types == "screen")).to_numpy()),
        bots=sums(frame["is_bot"].to_numpy()),
        had=had.tolist(),
        last=rows[starts + counts - 1][in_time].tolist(),
        exit=lasts(_told(frame, "page_path")),
        user=lasts(_known(frame, "user_id")),
        facts=facts,
        of_row=of_row,
    )


def _starts(places: npt.NDArray[np.uint32], cells: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Where a group begins, among rows that stand group by group."""
    changes = (places[1:] != places[:-1]) | (cells[1:] != cells[:-1])
    return np.concatenate(([0], np.flatnonzero(changes) + 1))
