"""Columns of a chunk → groups: the events of one key in one cell, and which of them have which fact. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.outcomes import Remark
from streams.sessions.chains import SessionRules
from streams.sessions.conversions import convert
from streams.sessions.late import put_apart
from streams.sessions.slices import MOMENT_BITS, TIMESTAMP_BITS
from streams.sessions.state import SessionState

CLIENT_CELL: Final = 0  # of a client's session that is not cut: it is one slice


class Fact(NamedTuple):
    """What a slice takes from its first event that has it.

    at: the member of `Slice` with that event's moment; columns: by the members that they become; has: which events.
    site: the column with a URL whose own site does not count as a text of these.
    """

    at: str
    columns: Mapping[str, str]
    has: pl.Expr
    site: str = ""


_UTM: Final = ("utm_source", "utm_medium", "utm_campaign")
# The place of each is its bit in `Slice.had`, which states hold: new facts come last.
FACTS: Final = (
    Fact("first_at", {"channel_type": "channel_type"}, pl.lit(value=True)),
    Fact("entry_at", {"entry_page": "page_path"}, pl.col("page_path") != ""),
    # Of the first event with a page, empty or not: later pages of a visit that began directly name the site itself.
    Fact(
        "referrer_at",
        {"referrer": "page_referrer"},
        (pl.col("page_path") != "") | (pl.col("page_referrer") != ""),
        site="page_url",
    ),
    Fact("campaign_at", {name: name for name in _UTM}, pl.any_horizontal(pl.col(_UTM).is_not_null())),
    Fact("device_at", {"device_type": "device_type"}, pl.col("device_type") != ""),
    Fact("country_at", {"country_code": "country_code"}, pl.col("country_code") != ""),
    Fact("anonymous_at", {"anonymous_id": "anonymous_id"}, pl.col("anonymous_id") != ""),
    Fact("conversion_at", {"conversion_event": "event_name"}, pl.col("is_conversion")),
)


# An address of IPv6 has colons. `www.` is the same site to people, and other names of a domain may be other sites.
_SITE: Final = r"^[A-Za-z][\w+.-]*://(?:[^/?#@]*@)?(?i:www\.)?(\[[^\]]*\]|[^/?#:]+)"


def outside(texts: pl.Series, urls: pl.Series) -> pl.Series:
    """The URLs `texts`, '' where they are of the same site as those of `urls`."""
    own = texts.str.extract(_SITE).str.to_lowercase() == urls.str.extract(_SITE).str.to_lowercase()
    return pl.Series([""]).new_from_index(0, len(texts)).zip_with(own.fill_null(value=False), texts)


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


def with_moments(
    frame: pl.DataFrame, cells: npt.NDArray[np.int64], conversions: Mapping[str, frozenset[str]]
) -> pl.DataFrame:
    """What a slice is made of, in order of time: one row for each event."""
    timestamp = pl.col("timestamp").cast(pl.Int64)
    tie = (pl.col("hash") // (1 << (64 - MOMENT_BITS))).cast(pl.Int64)
    return frame.select(
        "state_index",
        "event_name",
        "user_id",
        "anonymous_id",
        "page_path",
        "page_url",
        "page_referrer",
        *_UTM,
        "device_type",
        "country_code",
        "channel_type",
        "is_bot",
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        moment=timestamp * (1 << MOMENT_BITS) + tie,
        cell=pl.Series(cells),
        is_page=pl.col("event_type").is_in(["page", "screen"]),
        is_conversion=convert(frame, conversions),
    ).sort("moment")


def group_by_cell(moments: pl.DataFrame) -> pl.DataFrame:
    """One row for each key and cell, in order of first appearance; what is taken from one event is its position.

    had: the bits of the facts that an event of the group has.
    """
    position = pl.int_range(pl.len(), dtype=pl.UInt32)
    with_positions = moments.select(
        "state_index", "cell", "row", "is_page", "is_bot",
        position.alias("last"),
        pl.when(pl.col("page_path") != "").then(position).alias("exit"),
        pl.when(pl.col("user_id").is_not_null()).then(position).alias("user"),
        *(pl.when(fact.has).then(position).alias(fact.at) for fact in FACTS),
    )  # fmt: skip
    groups = with_positions.group_by("state_index", "cell", maintain_order=True).agg(
        pl.col("row"),
        pl.len().alias("events"),
        pl.col("is_page").sum().alias("pages"),
        pl.col("is_bot").sum().alias("bots"),
        pl.col("last", "exit", "user").max(),
        *(pl.col(fact.at).min() for fact in FACTS),
    )
    bits = (pl.col(fact.at).is_not_null().cast(pl.UInt32) * (1 << bit) for bit, fact in enumerate(FACTS))
    return groups.with_columns(had=pl.sum_horizontal(*bits))
