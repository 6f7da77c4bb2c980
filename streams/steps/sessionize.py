"""Fold events into the slices of their key, and give each event its session. Pure.

A client's own session id is kept: its key is one session and one slice. Otherwise sessions are chains of slices
(`streams.state`): the result is the same for every order of arrival within the lateness bound.
"""

import uuid
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import numpy as np
import polars as pl

from streams.state import MOMENT_BITS, SessionRules, SessionState, Slice, chains, named_uuid, session_id

CLIENT_CELL: Final = 0
_cell_of: Final = attrgetter("cell")
_AT_FIRST: Final = (
    "referrer", "utm_source", "utm_medium", "utm_campaign", "device_type", "country_code", "channel_type",
    "anonymous_id",
)  # fmt: skip


def sessionize(
    frame: pl.DataFrame,
    keys: Sequence[bytes],
    states: Sequence[SessionState],
    conversions: Mapping[str, frozenset[str]],
    rules: SessionRules,
) -> pl.DataFrame:
    """Fold the rows into their states and add `session_id`; same rows in the same order.

    keys, states: what the column `touched` points into. `conversions` gives the conversion events of a project id. An
    event's session is the one its cell belongs to once the whole chunk is folded in.
    """
    moments = _with_moments(frame, conversions, rules)
    groups = _groups(moments)
    touched = groups["touched"].to_list()
    for place, newest_ms, piece in zip(touched, groups["newest_ms"].to_list(), _pieces(moments, groups), strict=True):
        state = states[place]
        if newest_ms > state.newest_ms:
            state.newest_ms = newest_ms
        state.changed.add(piece.cell)
        if state.slices:
            fold(state.slices, piece)
        else:
            state.slices.append(piece)
    ids = [
        _session_of(states[place], keys[place], cell, client, rules)
        for place, cell, client in zip(
            touched, groups["cell"].to_list(), groups["client_session_id"].to_list(), strict=True
        )
    ]
    group_of_row = np.empty(len(frame), dtype=np.uint32)
    counts = groups["row"].list.len().to_numpy()
    rows = groups["row"].explode(empty_as_null=False).to_numpy()
    group_of_row[rows] = np.repeat(np.arange(len(groups), dtype=np.uint32), counts)
    return frame.with_columns(pl.Series("session_id", ids, dtype=pl.String).gather(pl.Series(group_of_row)))


def _with_moments(frame: pl.DataFrame, conversions: Mapping[str, frozenset[str]], rules: SessionRules) -> pl.DataFrame:
    """What a slice is made of, in order of time: one row for each event, `position` being its place in that order."""
    timestamp = pl.col("timestamp").cast(pl.Int64)
    tie = (pl.col("hash") // (1 << (64 - MOMENT_BITS))).cast(pl.Int64)
    cell = pl.when(pl.col("client_session_id").is_null()).then(timestamp // rules.gap_ms).otherwise(CLIENT_CELL)
    row = pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")
    return (
        frame.select(
            "touched",
            "client_session_id",
            "timestamp",
            "event_name",
            "user_id",
            "page_path",
            "is_bot",
            pl.col("page_referrer").alias("referrer"),
            *_AT_FIRST[1:],
            row,
            moment=timestamp * (1 << MOMENT_BITS) + tie,
            cell=cell,
            is_page=pl.col("event_type").is_in(["page", "screen"]),
            has_page=pl.col("page_path") != "",
            is_conversion=_is_conversion(conversions),
        )
        .sort("moment")
        .with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("position"))
    )


def _is_conversion(conversions: Mapping[str, frozenset[str]]) -> pl.Expr:
    """Whether a row's event is among its project's conversion events."""
    tests = [
        (pl.col("project_id") == project_id) & pl.col("event_name").is_in(sorted(names))
        for project_id, names in conversions.items()
        if names
    ]
    return pl.any_horizontal(tests) if tests else pl.lit(False)


def _groups(moments: pl.DataFrame) -> pl.DataFrame:
    """One row for each key and cell, in order of first appearance; what is taken from one event is its position."""
    position = pl.col("position")
    return moments.group_by("touched", "cell", maintain_order=True).agg(
        pl.col("client_session_id").first(),
        pl.col("timestamp").cast(pl.Int64).max().alias("newest_ms"),
        pl.col("row"),
        position.min().alias("first"),
        position.max().alias("last"),
        pl.len().alias("events"),
        pl.col("is_page").sum().alias("pages"),
        pl.col("is_bot").sum().alias("bots"),
        position.filter("has_page").min().alias("entry"),
        position.filter("has_page").max().alias("exit"),
        position.filter("is_conversion").min().alias("conversion"),
        position.filter(pl.col("user_id").is_not_null()).max().alias("user"),
    )


def _pieces(moments: pl.DataFrame, groups: pl.DataFrame) -> Iterator[Slice]:
    """The chunk's slices, in the order of the groups."""
    moment = moments["moment"]

    def at(name: str) -> list[Any]:
        return moment.gather(groups[name]).fill_null(0).to_list()

    def value(column: str, name: str) -> list[Any]:
        return moments[column].gather(groups[name]).to_list()

    columns = [
        groups["cell"].to_list(), at("first"), at("last"),
        groups["events"].to_list(), groups["pages"].to_list(), groups["bots"].to_list(),
        *(value(column, "first") for column in _AT_FIRST),
        at("entry"), moments["page_path"].gather(groups["entry"]).fill_null("").to_list(),
        at("exit"), moments["page_path"].gather(groups["exit"]).fill_null("").to_list(),
        at("conversion"), value("event_name", "conversion"),
        at("user"), value("user_id", "user"),
    ]  # fmt: skip
    return map(Slice, *columns)


def fold(slices: list[Slice], piece: Slice) -> None:
    """Fold a slice's events into slices, which stay sorted by cell."""
    if piece.cell > slices[-1].cell:
        slices.append(piece)
        return
    place = bisect_left(slices, piece.cell, key=_cell_of)
    if slices[place].cell == piece.cell:
        slices[place].absorb(piece)
    else:
        slices.insert(place, piece)


def _session_of(state: SessionState, key: bytes, cell: int, client: str | None, rules: SessionRules) -> str:
    """The id of the session a cell belongs to; names new sessions and notes those that ceased to be."""
    slices = state.slices
    if len(slices) == 1:
        head = slices[0]
        if not head.session_id:
            if client is None:
                _name(state, head, key, rules)
            else:
                head.session_id = _as_uuid(client) or named_uuid(key.decode())
        return head.session_id
    found = ""
    for chain in chains(slices, rules):
        head = chain[0]
        if not head.session_id:
            _name(state, head, key, rules)
        for other in chain[1:]:
            if other.session_id:
                state.absorbed.append(other.session_id)
                other.session_id = ""
        if head.cell <= cell <= chain[-1].cell:
            found = head.session_id
    return found


def _name(state: SessionState, head: Slice, key: bytes, rules: SessionRules) -> None:
    # Beyond the lateness bound the session of that cell may have left the state: its row must not be overwritten.
    late = head.last_at >> MOMENT_BITS < state.newest_ms - rules.lateness_ms
    head.session_id = session_id(key.decode(), head.cell, late)
    state.changed.add(head.cell)


def _as_uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else ""
    except ValueError:
        return ""


def sessions(state: SessionState, rules: SessionRules) -> Iterator[Slice]:
    """The sessions touched since the state was last durable, each as one slice that carries its session_id."""
    if len(state.slices) == 1:
        yield state.slices[0]
        return
    for chain in chains(state.slices, rules):
        if state.changed.isdisjoint(map(_cell_of, chain)):
            continue
        if len(chain) == 1:
            yield chain[0]
            continue
        whole = Slice(*(getattr(chain[0], name) for name in Slice.__struct_fields__))
        for other in chain[1:]:
            whole.absorb(other)
        yield whole


def tombstones(state: SessionState) -> list[str]:
    """The ids of sessions that ceased to be since the state was last durable."""
    if not state.absorbed:
        return []
    living = {piece.session_id for piece in state.slices}
    return [ceased for ceased in dict.fromkeys(state.absorbed) if ceased not in living]


def settle(state: SessionState, rules: SessionRules) -> None:
    """Forget what was emitted, and the sessions that no event within the lateness bound can still reach."""
    state.changed.clear()
    state.absorbed.clear()
    if len(state.slices) > 1:
        horizon_ms = state.newest_ms - rules.lateness_ms - rules.gap_ms
        state.slices = [
            piece
            for chain in chains(state.slices, rules)
            if chain[-1].last_at >> MOMENT_BITS >= horizon_ms
            for piece in chain
        ]
