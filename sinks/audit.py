"""Settles the ledger: every offset of raw_events against the tables, partition by partition."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sinks.ledger import Account, RawEvent, frontier, settle, spans
from sinks.ledger_sources import Tables, Topics

Tell = Callable[[str], None]


@dataclass(slots=True)
class Ledger:
    """The accounts: of each partition, and, as counts by outcome, of each project id.

    refused: events that the collector accepted and kept as dead letters; they never were in raw_events.
    """

    partitions: dict[int, Account] = field(default_factory=dict)
    refused: int = 0
    projects: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def total(self) -> Account:
        """All partitions together."""
        total = Account(accepted=self.refused, dead=self.refused)
        for account in self.partitions.values():
            total.add(account)
        return total

    def count(self, project_id: str, outcome: str, events: int) -> None:
        """Add events of a project to an outcome, and to what it was accepted for."""
        counts = self.projects.setdefault(project_id, Counter())
        counts[outcome] += events
        counts["accepted"] += events


class Auditor:
    """Computes ledgers from Kafka and ClickHouse."""

    def __init__(self, topics: Topics, tables: Tables) -> None:
        self._topics = topics
        self._tables = tables

    def audit(self, since_ms: int | None = None, tell: Tell = lambda line: None) -> Ledger:
        """The ledger of what raw_events still holds, or of what came since a time (ms since 1970)."""
        ledger = Ledger()
        for project_id, events in self._tables.refused(since_ms or 0):
            ledger.count(project_id, "dead", events)
            ledger.refused += events
        for partition in self._topics.partitions():
            start, settled, end = self._range(partition, since_ms)
            account = Account()
            for first, last in spans(start, settled):
                account.add(self._settle(ledger, partition, first, last))
            self._in_flight(ledger, account, partition, settled, end)
            ledger.partitions[partition] = account
            tell(f"partition {partition}: {account.accepted} events")
        return ledger

    def _range(self, partition: int, since_ms: int | None) -> tuple[int, int, int]:
        """Start of the audit, up to where everything must have landed, end of the log."""
        # In this order: what is read first can only lag behind what is read later.
        processed = self._topics.processed(partition)
        letters_behind = self._topics.dead_letters_behind()
        mark, behind = self._topics.sink(partition)
        low, end = self._topics.bounds(partition)
        start = low if since_ms is None else max(low, self._topics.offset_at(partition, since_ms, end))
        reached = frontier(processed, mark, behind)
        if letters_behind:
            # A dead letter on its way would look like a loss.
            reached = min(reached, start)
        return start, min(end, max(start, reached)), end

    def _settle(self, ledger: Ledger, partition: int, start: int, end: int) -> Account:
        stored = self._tables.stored(partition, start, end)
        account, duplicates = settle(
            start, end, stored, lambda offsets: self._topics.read(partition, offsets), self._tables.kept
        )
        for outcome, project_id, events in self._tables.by_project(partition, start, end):
            ledger.count(project_id, outcome, events)
        _count(ledger, "duplicate", duplicates)
        return account

    def _in_flight(self, ledger: Ledger, account: Account, partition: int, settled: int, end: int) -> None:
        account.accepted += end - settled
        account.in_flight = end - settled
        if settled < end:
            _count(ledger, "in_flight", self._topics.tail(partition, settled, end))


def _count(ledger: Ledger, outcome: str, events: Iterable[RawEvent]) -> None:
    for project_id, number in Counter(event.project_id for event in events).items():
        ledger.count(project_id, outcome, number)
