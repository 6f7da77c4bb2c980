"""Fold events into the slices of their key, and give each event its session. Pure.

Sessions are chains of slices (`streams.sessions.chains`): the result is the same for every order of arrival within the
lateness bound. A client's own session id is in its key: what has another id is never with it.

Whatever walks the slices of a state does so once a state and chunk, never once a group: a key may have thousands.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from schemas.outcomes import Remark
from streams.sessions.chains import SessionRules, cell_of
from streams.sessions.groups import FACTS, Groups, behind, cells_of, group_by_cell, moments_of, outside
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
    moments = moments_of(frame)
    groups = group_by_cell(frame, moments, cells_of(frame, behind_ms, states, rules, remark), conversions)
    pieces = _fold([states[place] for place in groups.places], groups, frame, moments.tolist(), rules.gap_ms)
    ids = _session_ids(groups.places, pieces, states, keys, rules)
    disordered = frame["state_index"].to_numpy()[behind_ms > 0]
    if len(disordered):
        note_vanished(disordered, groups, pieces, states, keys, rules)
    texts = pl.Series("session_id", ids, dtype=pl.String)
    return frame.hstack([texts[pl.Series(groups.of_row.astype(np.uint32))]])


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


def _fold(
    states: Sequence[SessionState], groups: Groups, frame: pl.DataFrame, moment_at: Sequence[int], gap_ms: int
) -> list[Slice]:
    """Fold the groups into the slices, one of each state for each group; returns them.

    This loop is the hot path. Nearly every group comes after all that its slice has, and has no fact that the slice
    lacks: none of the facts is looked at then, since their moments are integers that lie anywhere in memory. Those of
    one chunk are taken from one list, by the row, so that members with the same moment share it.
    """
    pieces: list[Slice] = []
    learning: list[int] = []
    firsts = groups.facts["first_at"].tolist()
    exit_pages = _texts_at(frame["page_path"], groups.exit)
    columns = groups.cells, firsts, groups.last, groups.events, groups.pages, groups.bots, groups.had, groups.exit
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
        if page >= 0 and moment_at[page] > piece.exit_at:
            piece.exit_at, piece.exit_page = moment_at[page], exit_page
    if learning:
        _fold_facts(learning, pieces, groups, frame, moment_at)
    _fold_users(pieces, groups.user, frame, moment_at)
    return pieces


def _texts_at(column: pl.Series, rows: Sequence[int]) -> list[str]:
    """The texts of such rows; of none, where a row is -1, any."""
    texts: list[str] = column[pl.Series([max(row, 0) for row in rows], dtype=pl.UInt32)].to_list()
    return texts


def _fold_facts(
    learning: list[int],
    pieces: Sequence[Slice],
    groups: Groups,
    frame: pl.DataFrame,
    moment_at: Sequence[int],
) -> None:
    """Fold the facts of the first event that has them into the pieces of the groups `learning`."""
    for fact in FACTS:
        at = fact.at
        new: list[Slice] = []
        taken: list[int] = []
        for index, row in zip(learning, groups.facts[at][learning].tolist(), strict=True):
            piece = pieces[index]
            if row >= 0 and (not (known := getattr(piece, at)) or moment_at[row] < known):
                setattr(piece, at, moment_at[row])
                new.append(piece)
                taken.append(row)
        if not new:
            continue
        rows = pl.Series(taken, dtype=pl.UInt32)
        for member, column in fact.columns.items():
            texts = frame[column][rows]
            known_texts = outside(texts, frame[fact.site][rows]) if fact.site else texts.to_list()
            for piece, text in zip(new, known_texts, strict=True):
                setattr(piece, member, text)


def _fold_users(pieces: Sequence[Slice], users: Sequence[int], frame: pl.DataFrame, moment_at: Sequence[int]) -> None:
    """Fold the user of the last event that has one."""
    having = [index for index, row in enumerate(users) if row >= 0]
    user_ids = _texts_at(frame["user_id"], [users[index] for index in having])
    for index, user_id in zip(having, user_ids, strict=True):
        at = moment_at[users[index]]
        if at > pieces[index].user_at:
            pieces[index].user_at, pieces[index].user_id = at, user_id


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
