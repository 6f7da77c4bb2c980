"""Fold events into the slices of their key, and give each event its session. Pure.

A client's own session id is kept: its key is one session and one slice. Otherwise sessions are chains of slices
(`streams.sessions.chains`): the result is the same for every order of arrival within the lateness bound.

An event is late when a newer one of its key, by more than the bound, arrived before it. The session it would have
belonged to may have left the state, so late events make sessions of their own, apart from all others.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.message_ids import canonical_uuid
from streams.sessions.chains import SessionRules, chains, session_id
from streams.sessions.slices import LATE_CELLS, MOMENT_BITS, TIMESTAMP_BITS, Slice, new_slice
from streams.sessions.state import SessionState
from streams.uuids import named_uuid

CLIENT_CELL: Final = 0
_cell_of: Final = attrgetter("cell")


class _Fact(NamedTuple):
    """What a slice takes from its first event that has it.

    at: the member of `Slice` with that event's moment; columns: by the members that they become; has: which events.
    """

    at: str
    columns: Mapping[str, str]
    has: pl.Expr


_UTM: Final = ("utm_source", "utm_medium", "utm_campaign")
# The place of each is its bit in `Slice.had`, which states hold: new facts come last.
_FACTS: Final = (
    _Fact("first_at", {"channel_type": "channel_type"}, pl.lit(value=True)),
    _Fact("entry_at", {"entry_page": "page_path"}, pl.col("page_path") != ""),
    # Of the first event with a page, empty or not: later pages of a visit that began directly name the site itself.
    _Fact("referrer_at", {"referrer": "page_referrer"}, (pl.col("page_path") != "") | (pl.col("page_referrer") != "")),
    _Fact("campaign_at", {name: name for name in _UTM}, pl.any_horizontal(pl.col(_UTM).is_not_null())),
    _Fact("device_at", {"device_type": "device_type"}, pl.col("device_type") != ""),
    _Fact("country_at", {"country_code": "country_code"}, pl.col("country_code") != ""),
    _Fact("anonymous_at", {"anonymous_id": "anonymous_id"}, pl.col("anonymous_id") != ""),
    _Fact("conversion_at", {"conversion_event": "event_name"}, pl.col("is_conversion")),
)


def sessionize(
    frame: pl.DataFrame,
    keys: Sequence[bytes],
    states: Sequence[SessionState],
    conversions: Mapping[str, frozenset[str]],
    rules: SessionRules,
) -> pl.DataFrame:
    """Fold the rows into their states and add `session_id`; same rows in the same order.

    keys, states: what the column `state_index` points into. `conversions` gives the conversion events of a project id.
    An event's session is the one its cell belongs to once the whole chunk is folded in.
    """
    behind_ms = _behind(frame, states)
    moments = _with_moments(frame, behind_ms > rules.lateness_ms, conversions, rules)
    groups = _groups(moments)
    folded = [states[place] for place in groups["state_index"].to_list()]
    pieces = _fold(folded, groups, moments)
    ids = [
        piece.session_id
        if piece.session_id and len(state.slices) == 1
        else _session_of(state, key, cell, client, rules)
        for piece, state, key, cell, client in zip(
            pieces,
            folded,
            map(keys.__getitem__, groups["state_index"].to_list()),
            groups["cell"].to_list(),
            groups["client_session_id"].to_list(),
            strict=True,
        )
    ]
    disordered = frame["state_index"].filter(pl.Series(behind_ms > 0)).to_numpy()
    if len(disordered):
        _note_vanished(disordered, groups, pieces, states, keys, rules)
    group_of_row = np.empty(len(frame), dtype=np.uint32)
    counts = groups["row"].list.len().to_numpy()
    rows = groups["row"].explode(empty_as_null=False).to_numpy()
    group_of_row[rows] = np.repeat(np.arange(len(groups), dtype=np.uint32), counts)
    return frame.with_columns(pl.Series("session_id", ids, dtype=pl.String).gather(pl.Series(group_of_row)))


def _behind(frame: pl.DataFrame, states: Sequence[SessionState]) -> npt.NDArray[np.int64]:
    """How many ms each row lies before the newest event of its key that arrived before it: (n,), 0 when in order.

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


def _with_moments(
    frame: pl.DataFrame,
    late: npt.NDArray[np.bool_],
    conversions: Mapping[str, frozenset[str]],
    rules: SessionRules,
) -> pl.DataFrame:
    """What a slice is made of, in order of time: one row for each event."""
    timestamp = pl.col("timestamp").cast(pl.Int64)
    tie = (pl.col("hash") // (1 << (64 - MOMENT_BITS))).cast(pl.Int64)
    cell = timestamp // rules.gap_ms
    if late.any():
        cell -= pl.lit(pl.Series(late.astype(np.int64) * LATE_CELLS))
    cell = pl.when(pl.col("client_session_id").is_null()).then(cell).otherwise(CLIENT_CELL)
    return frame.select(
        "state_index",
        "client_session_id",
        "event_name",
        "user_id",
        "anonymous_id",
        "page_path",
        "page_referrer",
        *_UTM,
        "device_type",
        "country_code",
        "channel_type",
        "is_bot",
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        moment=timestamp * (1 << MOMENT_BITS) + tie,
        cell=cell,
        is_page=pl.col("event_type").is_in(["page", "screen"]),
        is_conversion=_is_conversion(conversions),
    ).sort("moment")


def _is_conversion(conversions: Mapping[str, frozenset[str]]) -> pl.Expr:
    """Whether a row's event is among its project's conversion events."""
    tests = [
        (pl.col("project_id") == project_id) & pl.col("event_name").is_in(sorted(names))
        for project_id, names in conversions.items()
        if names
    ]
    return pl.any_horizontal(tests) if tests else pl.lit(False)


def _groups(moments: pl.DataFrame) -> pl.DataFrame:
    """One row for each key and cell, in order of first appearance; what is taken from one event is its position.

    had: the bits of the facts that an event of the group has.
    """
    position = pl.int_range(pl.len(), dtype=pl.UInt32)
    with_positions = moments.select(
        "state_index", "cell", "client_session_id", "row", "is_page", "is_bot",
        position.alias("last"),
        pl.when(pl.col("page_path") != "").then(position).alias("exit"),
        pl.when(pl.col("user_id").is_not_null()).then(position).alias("user"),
        *(pl.when(fact.has).then(position).alias(fact.at) for fact in _FACTS),
    )  # fmt: skip
    groups = with_positions.group_by("state_index", "cell", maintain_order=True).agg(
        pl.col("client_session_id").first(),
        pl.col("row"),
        pl.len().alias("events"),
        pl.col("is_page").sum().alias("pages"),
        pl.col("is_bot").sum().alias("bots"),
        pl.col("last", "exit", "user").max(),
        *(pl.col(fact.at).min() for fact in _FACTS),
    )
    bits = (pl.col(fact.at).is_not_null().cast(pl.UInt32) * (1 << bit) for bit, fact in enumerate(_FACTS))
    return groups.with_columns(had=pl.sum_horizontal(*bits))


def _fold(states: Sequence[SessionState], groups: pl.DataFrame, moments: pl.DataFrame) -> list[Slice]:
    """Fold the groups into the slices, one of each state for each group; returns them.

    This loop is the hot path. Nearly every group comes after all that its slice has, and has no fact that the slice
    lacks: none of the facts is looked at then, since their moments are integers that lie anywhere in memory. Those of
    one chunk are taken from one list, so that members with the same moment share it.
    """
    moment_at = moments["moment"].to_list()
    pieces: list[Slice] = []
    learning: list[int] = []
    columns = (
        groups[name].to_list() for name in ("cell", "first_at", "last", "events", "pages", "bots", "had", "exit")
    )
    exit_pages = moments["page_path"].gather(groups["exit"]).to_list()
    rows = zip(states, *columns, exit_pages, strict=True)
    for index, (state, cell, first, last, events, pages, bots, had, page, exit_page) in enumerate(rows):
        slices = state.slices
        piece = slices[0] if len(slices) == 1 and slices[0].cell == cell else _slice_of(state, cell)
        pieces.append(piece)
        piece.events += events
        if pages:
            piece.pages += pages
        if bots:
            piece.bots += bots
        if had & ~piece.had or moment_at[first] < piece.last_at:
            piece.had |= had
            learning.append(index)
        last_at = moment_at[last]
        if last_at > piece.last_at:
            piece.last_at = last_at
            if last_at > state.newest_at:
                state.newest_at = last_at
        if page is not None and moment_at[page] > piece.exit_at:
            piece.exit_at, piece.exit_page = moment_at[page], exit_page
    if learning:
        ats = groups.select(pl.col(fact.at for fact in _FACTS).gather(learning))
        _fold_facts([pieces[index] for index in learning], ats, moments, moment_at)
    _fold_users(pieces, groups["user"], moments, moment_at)
    return pieces


def _fold_facts(pieces: Sequence[Slice], ats: pl.DataFrame, moments: pl.DataFrame, moment_at: Sequence[int]) -> None:
    """Fold the facts of the first event that has them: `ats` are their positions, null where a group has none."""
    for fact in _FACTS:
        places = zip(map(attrgetter(fact.at), pieces), ats[fact.at].to_list(), strict=True)
        new = [
            index
            for index, (known, place) in enumerate(places)
            if place is not None and (not known or moment_at[place] < known)
        ]
        if not new:
            continue
        taken = ats[fact.at].gather(new)
        changing = [pieces[index] for index in new]
        for piece, place in zip(changing, taken.to_list(), strict=True):
            setattr(piece, fact.at, moment_at[place])
        for member, column in fact.columns.items():
            for piece, text in zip(changing, moments[column].gather(taken).to_list(), strict=True):
                setattr(piece, member, text)


def _fold_users(pieces: Sequence[Slice], positions: pl.Series, moments: pl.DataFrame, moment_at: Sequence[int]) -> None:
    """Fold the user of the last event that has one."""
    having = positions.is_not_null().arg_true().to_list()
    positions = positions.drop_nulls()
    user_ids = moments["user_id"].gather(positions).to_list()
    for index, place, user_id in zip(having, positions.to_list(), user_ids, strict=True):
        if moment_at[place] > pieces[index].user_at:
            pieces[index].user_at, pieces[index].user_id = moment_at[place], user_id


def _slice_of(state: SessionState, cell: int) -> Slice:
    """The state's slice of a cell, an empty one if it is new; notes that it changes."""
    slices = state.slices
    if not slices:
        slices.append(new_slice(cell))
        return slices[0]
    if len(slices) == 1:
        state.changed.add(slices[0].cell)  # while it was alone nobody had to note it
    state.changed.add(cell)
    place = bisect_left(slices, cell, key=_cell_of)
    if place == len(slices) or slices[place].cell != cell:
        slices.insert(place, new_slice(cell))
    return slices[place]


def _session_of(state: SessionState, key: bytes, cell: int, client: str | None, rules: SessionRules) -> str:
    """The id of the session a cell belongs to; names new sessions and notes those that ceased to be."""
    slices = state.slices
    if len(slices) == 1:
        head = slices[0]
        if not head.session_id:
            if client is None:
                _name(state, head, key)
            else:
                head.session_id = canonical_uuid(client) or named_uuid(key.decode())
        return head.session_id
    found = ""
    for chain in chains(slices, rules):
        head = chain[0]
        if not head.session_id:
            _name(state, head, key)
        for other in chain[1:]:
            if other.session_id:
                state.absorbed.append(other.session_id)
                other.session_id = ""
        if head.cell <= cell <= chain[-1].cell:
            found = head.session_id
    return found


def _name(state: SessionState, head: Slice, key: bytes) -> None:
    head.session_id = session_id(key.decode(), head.cell)
    state.changed.add(head.cell)


def _note_vanished(
    disordered: npt.NDArray[np.uint32],
    groups: pl.DataFrame,
    pieces: Sequence[Slice],
    states: Sequence[SessionState],
    keys: Sequence[bytes],
    rules: SessionRules,
) -> None:
    """Note the sessions that only the first rows of the chunk would have made, of the keys with rows out of order.

    The same rows in smaller chunks may have emitted them before the worker was killed. Some of those noted never were.
    """
    in_disorder = np.zeros(len(states), dtype=bool)
    in_disorder[disordered] = True
    for index in np.flatnonzero(in_disorder[groups["state_index"].to_numpy()]).tolist():
        piece = pieces[index]
        if piece.events > groups["events"][index]:
            continue  # there before the chunk: it did not begin as a session of its own
        place = groups["state_index"][index]
        slices, key = states[place].slices, keys[place].decode()
        # Put before others, it may have moved for a moment where sessions end by their length. Neighbours in a session
        # are at most two cells apart.
        moved = piece.cell < slices[-1].cell and 2 * len(slices) > rules.cells_max
        candidates = slices if moved else [piece]
        states[place].absorbed += [session_id(key, other.cell) for other in candidates if not other.session_id]
