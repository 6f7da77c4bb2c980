"""The ledger: accepted - stored - duplicate - dead - in flight = 0, for every partition of raw_events. Pure.

Everything is computed from what is durable: the offsets of the topic (one an accepted event), the lineage columns of
the tables, and the raw events themselves for what is neither stored nor dead. Counters in memory, which a crash resets,
have no part in it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sinks.ledger.outcomes import LedgerOutcome, difference

SPAN_MAX: Final = 500_000  # offsets settled at once: 4 MB of them

Offsets = npt.NDArray[np.int64]
NO_OFFSETS: Final[Offsets] = np.empty(0, dtype=np.int64)


class RawEvent(NamedTuple):
    """What the ledger needs of a raw event."""

    offset: int
    project_id: str
    message_id: str
    client_message_id: str = ""


class Stored(NamedTuple):
    """What the tables hold of a span: source offsets that have a row, more than one row, a dead letter. All rise."""

    rows: Offsets
    doubled: Offsets
    dead: Offsets


@dataclass(slots=True)
class Account:
    """How many accepted events ended where. `lost` and `doubled` name source offsets; a sound ledger has none."""

    accepted: int = 0
    stored: int = 0
    duplicate: int = 0
    dead: int = 0
    in_flight: int = 0
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)

    @property
    def difference(self) -> int:
        """accepted - stored - duplicate - dead - in flight: the number of events nobody can account for."""
        return difference(self.events())

    @property
    def sound(self) -> bool:
        """Nothing lost and nothing twice."""
        return self.difference == 0 and not self.lost and not self.doubled

    def events(self) -> dict[str, int]:
        """How many, by `LedgerOutcome`."""
        return {
            LedgerOutcome.ACCEPTED: self.accepted,
            LedgerOutcome.STORED: self.stored,
            LedgerOutcome.DUPLICATE: self.duplicate,
            LedgerOutcome.DEAD: self.dead,
            LedgerOutcome.IN_FLIGHT: self.in_flight,
            LedgerOutcome.LOST: len(self.lost),
            LedgerOutcome.DOUBLED: len(self.doubled),
        }

    def add(self, other: "Account") -> None:
        """Add another account to this one."""
        self.accepted += other.accepted
        self.stored += other.stored
        self.duplicate += other.duplicate
        self.dead += other.dead
        self.in_flight += other.in_flight
        self.lost += other.lost
        self.doubled += other.doubled


Kept = Callable[[Sequence[RawEvent]], set[tuple[str, str]]]


def spans(start: int, end: int, span_max: int = SPAN_MAX) -> Iterable[tuple[int, int]]:
    """[start, end) in pieces of at most `span_max` offsets."""
    return ((first, min(first + span_max, end)) for first in range(start, end, span_max))


def missing(start: int, end: int, stored: Stored) -> Offsets:
    """The offsets of [start, end) that are neither a row nor a dead letter: duplicates, or losses."""
    present = np.zeros(end - start, dtype=bool)
    present[stored.rows - start] = True
    present[stored.dead - start] = True
    return np.flatnonzero(~present) + start


class Settlement(NamedTuple):
    """The account of a span; the duplicates in it and the lost events, as far as they were read; what is absent.

    absent: the offsets with neither row nor dead letter, be they duplicates or losses.
    """

    account: Account
    duplicates: list[RawEvent]
    strays: list[RawEvent]
    absent: Offsets


def settle(
    start: int,
    end: int,
    stored: Stored,
    read: Callable[[Offsets], Iterable[RawEvent]],
    kept: Kept,
    known: Offsets = NO_OFFSETS,
) -> Settlement:
    """Account for [start, end).

    `read` gives the raw events at offsets, and leaves out those the topic no longer has. `kept` says which
    (project_id, message_id) were kept: an event that was not itself is a duplicate if another with its id was.
    known: offsets that were found to be duplicates before; they are counted, and not read again.
    """
    absent = missing(start, end, stored)
    repeats = np.intersect1d(absent, known, assume_unique=True)
    unknown = np.setdiff1d(absent, repeats, assume_unique=True)
    account = Account(
        accepted=end - start,
        stored=len(stored.rows),
        dead=len(np.setdiff1d(stored.dead, stored.rows)),
        doubled=stored.doubled.tolist(),
    )
    events = list(read(unknown)) if len(unknown) else []
    having = kept(events) if events else set()
    duplicates = [event for event in events if (event.project_id, event.message_id) in having]
    accounted = {event.offset for event in duplicates}
    account.duplicate = len(repeats) + len(duplicates)
    account.lost = [offset for offset in unknown.tolist() if offset not in accounted]
    strays = [event for event in events if event.offset not in accounted]
    return Settlement(account, duplicates, strays, absent)


def frontier(committed: int, watermark: int | None, sink_behind: bool) -> int:
    """Up to which raw offset everything must have landed.

    committed: the streams group's offset, below which all outputs are durable. watermark: the highest source offset
    that the sink has written, None before its first. When it has written all of enriched_events, `committed` itself.
    """
    if not sink_behind:
        return committed
    return 0 if watermark is None else min(committed, watermark + 1)
