"""Where an accepted event can end: the ledger's columns, its metrics' labels, and what `trace` says. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class LedgerOutcome(StrEnum):
    """The value is the label in metrics and the name in JSON."""

    ACCEPTED = "accepted"  # every event; the others add up to it
    STORED = "stored"
    DUPLICATE = "duplicate"
    DEAD = "dead"
    IN_FLIGHT = "in_flight"
    LOST = "lost"  # what remains: nobody can account for it
    DOUBLED = "doubled"  # of the stored ones, those with more than one row

    @property
    def words(self) -> str:
        """For people."""
        return "dead letter" if self is LedgerOutcome.DEAD else self.replace("_", " ")


ACCOUNTED: Final = (LedgerOutcome.STORED, LedgerOutcome.DUPLICATE, LedgerOutcome.DEAD, LedgerOutcome.IN_FLIGHT)


def difference(events: Mapping[str, int]) -> int:
    """Accepted events less those accounted for, of the events by outcome: 0 in a sound ledger."""
    return events[LedgerOutcome.ACCEPTED] - sum(events[outcome] for outcome in ACCOUNTED)
