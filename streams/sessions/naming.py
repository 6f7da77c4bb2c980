"""Which session a slice belongs to: ids for those that begin, and note of those that cease to be. Pure."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from streams.sessions.chains import SessionRules, cell_of, chains, session_id
from streams.sessions.groups import Groups
from streams.sessions.slices import Slice
from streams.sessions.state import SessionState


def name_sessions(state: SessionState, key: bytes, rules: SessionRules) -> None:
    """Name the sessions that begin, and note those that ceased to be; walks all slices of the state."""
    for chain in chains(state.slices, rules):
        head = chain[0]
        if not head.session_id:
            begin(state, head, key, rules)
            state.changed.add(head.cell)
            state.renamed.add(head.cell)
        for other in chain[1:]:
            if other.session_id:
                _cease(state, other, other.session_id)


def session_of(slices: Sequence[Slice], cell: int) -> str:
    """The session of a slice, by its cell, once all are named: that of the nearest one that begins a session.

    It is no further away than a session is long.
    """
    place = bisect_right(slices, cell, key=cell_of) - 1
    while not slices[place].session_id:
        place -= 1
    return slices[place].session_id


def begin(state: SessionState, head: Slice, key: bytes, rules: SessionRules) -> str:
    """Begin a session with a slice; its id."""
    head.session_id = session_id(key.decode(), head.cell, state, rules)
    head.ceased_id = ""
    return head.session_id


def _cease(state: SessionState, piece: Slice, ceased_id: str) -> None:
    piece.session_id, piece.ceased_id = "", ceased_id
    state.renamed.add(piece.cell)


def note_vanished(
    disordered: npt.NDArray[np.uint32],
    groups: Groups,
    pieces: Sequence[Slice],
    states: Sequence[SessionState],
    keys: Sequence[bytes],
    rules: SessionRules,
) -> None:
    """Note the sessions that only the first rows of the chunk would have made, of the keys with rows out of order.

    Rows of 10:40 and then 10:20 are a session that begins with the half-hour of 10:00. Had the chunk ended between
    them, there would have been one that begins with 10:30, and a worker that was killed then may have emitted it: it
    gets a tombstone, whether it ever was or not.
    """
    in_disorder = np.zeros(len(states), dtype=bool)
    in_disorder[disordered] = True
    looked_at = in_disorder[groups.places]
    moved: set[int] = set()
    for piece, count, place in compress(zip(pieces, groups.events, groups.places, strict=True), looked_at):
        slices = states[place].slices
        # Put before others, it may have moved where sessions end by their length, for a moment: any slice may have
        # begun one, and any session may have ceased. Neighbours in a session are at most two cells apart.
        if piece.cell < slices[-1].cell and 2 * len(slices) > rules.cells_max:
            moved.add(place)
        elif piece.events == count and not piece.session_id:  # else it was there before the chunk
            _note(states[place], piece, keys[place], rules)
    for place in moved:
        state = states[place]
        for piece in state.slices:
            if piece.session_id:
                state.changed.add(piece.cell)
            else:
                _note(state, piece, keys[place], rules)


def _note(state: SessionState, piece: Slice, key: bytes, rules: SessionRules) -> None:
    _cease(state, piece, piece.ceased_id or session_id(key.decode(), piece.cell, state, rules))
