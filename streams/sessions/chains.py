"""Sessions: chains of a visitor's slices, their names, those that an epoch touched, what they absorbed. Pure."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from streams.sessions.slices import MOMENT_BITS, Slice, round_of
from streams.sessions.state import SessionState
from streams.uuids import named_uuid

_FIRST_GENERATION: Final = 1
cell_of: Final = attrgetter("cell")


@dataclass(frozen=True, slots=True)
class SessionRules:
    """When a session ends, in ms. `cells_max` is the longest session in cells.

    client_whole: neither the gap nor the maximum ends a session that has the client's id. generation: in names.
    """

    gap_ms: int
    lateness_ms: int
    cells_max: int
    client_whole: bool = False
    generation: int = _FIRST_GENERATION


def chains(slices: list[Slice], rules: SessionRules) -> Iterator[list[Slice]]:
    """The sessions: runs of slices (sorted by cell) no further apart than the gap and no longer than the maximum."""
    start = 0
    for index in range(1, len(slices)):
        # Written out: of many keys every event comes by here. In words: `_is_apart`.
        gap = (slices[index].first_at >> MOMENT_BITS) - (slices[index - 1].last_at >> MOMENT_BITS)
        if gap > rules.gap_ms or slices[index].cell - slices[start].cell >= rules.cells_max:
            yield slices[start:index]
            start = index
    if slices:
        yield slices[start:]


def _is_apart(last_at: int, piece: Slice, rules: SessionRules) -> bool:
    """Whether so much lies between a slice's last event and the first of the next one that a session ends."""
    return (piece.first_at >> MOMENT_BITS) - (last_at >> MOMENT_BITS) > rules.gap_ms


def session_id(key: str, cell: int, state: SessionState, rules: SessionRules) -> str:
    """UUIDv5 of the key (tenant/project/visitor, or with a client's session id) and the cell in which it starts.

    The cell and not the exact start: an event that arrives out of order by seconds would otherwise rename the session.

    A state that left took with it what it knew of its sessions, and their names are in the table. So one that starts
    more than the bound before the state began has the time of that beginning in its name, and so have those of late
    events, whose cells lie below all others. A generation forgets all states at once, so that it is in the name too.
    """
    name = f"{key}/{cell}"
    if state.born_ms and cell < (state.born_ms - rules.lateness_ms) // rules.gap_ms:
        name = f"{name}/{state.born_ms}"
    if rules.generation > _FIRST_GENERATION:
        name = f"{name}/{rules.generation}"
    return named_uuid(name)


def sessions(state: SessionState, rules: SessionRules) -> Iterator[tuple[Slice, list[str]]]:
    """The sessions touched since the state was last durable: each as one slice that carries its session_id.

    With the ids of those that it absorbed, where any may have changed: all of them, so that each leads to a living one.
    """
    if len(state.slices) == 1:
        yield state.slices[0], []
        return
    for chain in chains(state.slices, rules):
        cells = list(map(cell_of, chain))
        is_renamed = bool(state.renamed) and not state.renamed.isdisjoint(cells)
        if not is_renamed and state.changed.isdisjoint(cells):
            continue
        ceased = [piece.ceased_id for piece in chain[1:] if piece.ceased_id] if is_renamed else []
        yield joined(chain) if len(chain) > 1 else chain[0], ceased


def joined(chain: Sequence[Slice]) -> Slice:
    """The slices of a session as one."""
    whole = copy(chain[0])
    for other in chain[1:]:
        whole.absorb(other)
    return whole


def forget_emitted(state: SessionState, rules: SessionRules) -> None:
    """Forget what was emitted, and the sessions that no event within the lateness bound can still reach.

    A session whose start no event can move any more becomes one slice: nothing can come between two of its cells but
    what belongs to it. Who is never silent has few slices so. Late events have no such bound; those of the last round
    stay.
    """
    state.changed.clear()
    state.renamed.clear()
    if len(state.slices) == 1:
        return
    newest_ms = state.newest_at >> MOMENT_BITS
    horizon_ms = newest_ms - rules.lateness_ms - rules.gap_ms
    kept: list[Slice] = []
    last_at, is_fixed = -1, False
    for chain in chains(state.slices, rules):
        head = chain[0]
        if head.cell < 0:
            if round_of(head.cell) == state.late_round:
                kept += chain
            continue
        # A session that only the maximum ended fixes the start of the next one.
        follows = is_fixed and not _is_apart(last_at, head, rules)
        is_fixed = follows or head.cell * rules.gap_ms <= newest_ms - rules.lateness_ms
        last_at = chain[-1].last_at
        if last_at >> MOMENT_BITS >= horizon_ms:
            kept += [joined(chain)] if is_fixed and len(chain) > 1 else chain
    state.slices = kept
