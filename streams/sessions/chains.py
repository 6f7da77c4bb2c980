"""Sessions: chains of a visitor's slices, those that an epoch touched, and those that ceased to be. Pure."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from streams.sessions.slices import MOMENT_BITS, Slice
from streams.sessions.state import SessionState
from streams.uuids import named_uuid

LATE_SLICES_MAX: Final = 336  # a week of half hours
_cell_of: Final = attrgetter("cell")


@dataclass(frozen=True, slots=True)
class SessionRules:
    """When a session ends, in ms. `cells_max` is the longest session in cells."""

    gap_ms: int
    lateness_ms: int
    cells_max: int


def chains(slices: list[Slice], rules: SessionRules) -> Iterator[list[Slice]]:
    """The sessions: runs of slices (sorted by cell) no further apart than the gap and no longer than the maximum."""
    start = 0
    for index in range(1, len(slices)):
        gap = (slices[index].first_at >> MOMENT_BITS) - (slices[index - 1].last_at >> MOMENT_BITS)
        if gap > rules.gap_ms or slices[index].cell - slices[start].cell >= rules.cells_max:
            yield slices[start:index]
            start = index
    if slices:
        yield slices[start:]


def session_id(key: str, cell: int) -> str:
    """UUIDv5 of the key (tenant/project/visitor) and the cell in which the session starts.

    The cell and not the exact start: an event that arrives out of order by seconds would otherwise rename the session.
    """
    return named_uuid(f"{key}/{cell}")


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
        whole = copy(chain[0])
        for other in chain[1:]:
            whole.absorb(other)
        yield whole


def tombstones(state: SessionState) -> list[str]:
    """The ids of sessions that ceased to be since the state was last durable."""
    if not state.absorbed:
        return []
    living = {piece.session_id for piece in state.slices}
    return [ceased for ceased in dict.fromkeys(state.absorbed) if ceased not in living]


def forget_emitted(state: SessionState, rules: SessionRules) -> None:
    """Forget what was emitted, and the sessions that no event within the lateness bound can still reach.

    Sessions of late events have no such bound, and stay, the newest `LATE_SLICES_MAX` slices of them.
    """
    state.changed.clear()
    state.absorbed.clear()
    if len(state.slices) > 1:
        horizon_ms = (state.newest_at >> MOMENT_BITS) - rules.lateness_ms - rules.gap_ms
        room = LATE_SLICES_MAX
        kept: list[list[Slice]] = []
        for chain in reversed(list(chains(state.slices, rules))):
            if chain[0].cell < 0:
                room -= len(chain)
                if room < 0:
                    break
            elif chain[-1].last_at >> MOMENT_BITS < horizon_ms:
                continue
            kept.append(chain)
        state.slices = [piece for chain in reversed(kept) for piece in chain]
