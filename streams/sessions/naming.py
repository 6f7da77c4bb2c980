"""Which session a slice belongs to: ids for those that begin, and note of those that cease to be. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.message_ids import canonical_uuid
from streams.sessions.chains import SessionRules, chains, session_id
from streams.sessions.slices import Slice
from streams.sessions.state import SessionState
from streams.uuids import named_uuid


def session_of(state: SessionState, key: bytes, cell: int, client: str | None, rules: SessionRules) -> str:
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


def note_vanished(
    disordered: npt.NDArray[np.uint32],
    groups: pl.DataFrame,
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
