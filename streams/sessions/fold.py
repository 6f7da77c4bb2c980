"""Fold events into the slices of their key, and give each event its session. Pure.

Sessions are chains of slices (`streams.sessions.chains`): the result is the same for every order of arrival within the
lateness bound. A client's own session id is in its key: what has another id is never with it.

Whatever walks the slices of a state does so once a state and chunk, never once a group: a key may have thousands.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

import numpy as np
import polars as pl

from schemas.outcomes import Remark
from streams.sessions.chains import SessionRules, cell_of
from streams.sessions.groups import FACTS, behind, cells_of, group_by_cell, outside, with_moments
from streams.sessions.naming import begin, name_sessions, note_vanished, session_of
from streams.sessions.slices import MOMENT_BITS, Slice, new_slice
from streams.sessions.state import SessionState


def sessionize(
    frame: pl.DataFrame,
    keys: Sequence[bytes],
    states: Sequence[SessionState],
    conversions: Mapping[str, frozenset[str]],
    rules: SessionRules,
    remark: Callable[[Remark, int], None] = lambda remark, count: None,
) -> pl.DataFrame:
    """Fold the rows into their states and add `session_id`; same rows in the same order.

    keys, states: what the column `state_index` points into. `conversions` gives the conversion events of a project id;
    `remark` is told of late events. An event is in the session of its cell once the whole chunk is folded in.
    """
    behind_ms = behind(frame, states)
    moments = with_moments(frame, cells_of(frame, behind_ms, states, rules, remark), conversions)
    groups = group_by_cell(moments)
    places = groups["state_index"].to_list()
    pieces = _fold([states[place] for place in places], groups, moments, rules.gap_ms)
    ids = _session_ids(places, pieces, states, keys, rules)
    disordered = frame["state_index"].filter(pl.Series(behind_ms > 0)).to_numpy()
    if len(disordered):
        note_vanished(disordered, groups, pieces, states, keys, rules)
    group_of_row = np.empty(len(frame), dtype=np.uint32)
    counts = groups["row"].list.len().to_numpy()
    rows = groups["row"].explode(empty_as_null=False).to_numpy()
    group_of_row[rows] = np.repeat(np.arange(len(groups), dtype=np.uint32), counts)
    return frame.with_columns(pl.Series("session_id", ids, dtype=pl.String).gather(pl.Series(group_of_row)))


def _session_ids(
    places: Sequence[int],
    pieces: Sequence[Slice],
    states: Sequence[SessionState],
    keys: Sequence[bytes],
    rules: SessionRules,
) -> list[str]:
    """The session of each group, by the places of their states and their slices."""
    ids: list[str] = []
    named: set[int] = set()
    for place, piece in zip(places, pieces, strict=True):
        state = states[place]
        if len(state.slices) == 1:
            ids.append(piece.session_id or begin(state, piece, keys[place], rules))
            continue
        if place not in named:
            named.add(place)
            name_sessions(state, keys[place], rules)
        ids.append(piece.session_id or session_of(state.slices, piece.cell))
    return ids


def _fold(states: Sequence[SessionState], groups: pl.DataFrame, moments: pl.DataFrame, gap_ms: int) -> list[Slice]:
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
        piece = slices[0] if len(slices) == 1 and slices[0].cell == cell else _slice_of(state, cell, gap_ms)
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
        ats = groups.select(pl.col(fact.at for fact in FACTS).gather(learning))
        _fold_facts([pieces[index] for index in learning], ats, moments, moment_at)
    _fold_users(pieces, groups["user"], moments, moment_at)
    return pieces


def _fold_facts(pieces: Sequence[Slice], ats: pl.DataFrame, moments: pl.DataFrame, moment_at: Sequence[int]) -> None:
    """Fold the facts of the first event that has them: `ats` are their positions, null where a group has none."""
    for fact in FACTS:
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
            texts = moments[column].gather(taken)
            if fact.site:
                texts = outside(texts, moments[fact.site].gather(taken))
            for piece, text in zip(changing, texts.to_list(), strict=True):
                setattr(piece, member, text)


def _fold_users(pieces: Sequence[Slice], positions: pl.Series, moments: pl.DataFrame, moment_at: Sequence[int]) -> None:
    """Fold the user of the last event that has one."""
    having = positions.is_not_null().arg_true().to_list()
    positions = positions.drop_nulls()
    user_ids = moments["user_id"].gather(positions).to_list()
    for index, place, user_id in zip(having, positions.to_list(), user_ids, strict=True):
        if moment_at[place] > pieces[index].user_at:
            pieces[index].user_at, pieces[index].user_id = moment_at[place], user_id


def _slice_of(state: SessionState, cell: int, gap_ms: int) -> Slice:
    """The state's slice of a cell, an empty one if it is new; notes that it changes."""
    slices = state.slices
    if not slices:
        slices.append(new_slice(cell))
        return slices[0]
    if len(slices) == 1:
        state.changed.add(slices[0].cell)  # while it was alone nobody had to note it
    place = bisect_right(slices, cell, key=cell_of)
    if place:
        piece = slices[place - 1]
        # A slice may be of many cells (`chains.forget_emitted`); those of late events never are.
        if piece.cell == cell or (piece.cell >= 0 and (piece.last_at >> MOMENT_BITS) // gap_ms >= cell):
            state.changed.add(piece.cell)
            return piece
    slices.insert(place, new_slice(cell))
    state.changed.add(cell)
    return slices[place]
