"""Late events: behind a newer one of their key, which arrived before them, by more than the bound. Pure.

The session that a late event would have belonged to may have left the state, so late events make sessions of their
own, apart from all others: their cells lie below 0. A state keeps them, since nothing says when the last one comes: a
round of `LATE_SLICES_MAX`. The event that would be one too many begins the next round, whose sessions have names of
their own. So the work of a state is bounded, no event is lost and no name is used again; a session of late events that
lies in two rounds is two.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.sessions.slices import LATE_CELLS, round_of
from streams.sessions.state import SessionState

LATE_SLICES_MAX: Final = 96  # two days of half hours


def put_apart(
    cells: npt.NDArray[np.int64],
    late: npt.NDArray[np.bool_],
    state_index: npt.NDArray[np.uint32],
    states: Sequence[SessionState],
) -> int:
    """Move the cells (n,) of late rows (n,) to where those of their round are; how many rounds began.

    Row by row in order of arrival: the same log gives the same rounds however it is cut into chunks.
    """
    cells_of_round: dict[int, set[int]] = {}
    begun = 0
    for row in np.flatnonzero(late).tolist():
        place = int(state_index[row])
        state = states[place]
        known = cells_of_round.get(place)
        if known is None:
            known = cells_of_round[place] = {
                piece.cell for piece in state.slices if round_of(piece.cell) == state.late_round
            }
        cell = int(cells[row])
        if cell - (state.late_round + 1) * LATE_CELLS not in known and len(known) >= LATE_SLICES_MAX:
            state.late_round += 1
            known.clear()
            begun += 1
        cells[row] = cell - (state.late_round + 1) * LATE_CELLS
        known.add(int(cells[row]))
    return begun
