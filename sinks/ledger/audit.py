"""Settles the ledger: every offset of raw_events against the tables, partition by partition."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sinks.ledger.account import NO_OFFSETS, Account, Offsets, RawEvent, Settlement, frontier, missing, settle, spans
from sinks.ledger.evidence import AuditedTables, AuditedTopics, TableEvidence, TopicEvidence
from sinks.ledger.outcomes import LedgerOutcome

Tell = Callable[[str], None]
Sleep = Callable[[float], object]
Known = Callable[[Offsets], Offsets]

_DEAD_LETTER_TRIES: Final = 40  # 10 s: the sink writes dead letters a flush after they came
_DEAD_LETTER_PAUSE_S: Final = 0.25


def nothing_known(_absent: Offsets) -> Offsets:
    """Every absent offset is to be read."""
    return NO_OFFSETS


class Reach(NamedTuple):
    """Of a partition of raw_events: its first offset, up to where everything must have landed, its end."""

    low: int
    settled: int
    end: int


def reaches(topics: TopicEvidence, sleep: Sleep) -> dict[int, Reach]:
    """The reach of each partition; nothing of it is settled while dead letters take too long to become rows.

    The order makes it safe, as what is read first can only lag behind what is read later: below what streams has
    committed, everything is in the topics; below what the sink has written of these, every row stands and every row
    refused is in dead_letters; and these are waited for. So what has neither row nor dead letter then never will.
    """
    partitions = topics.partitions()
    processed = {partition: topics.processed(partition) for partition in partitions}
    reached = {partition: frontier(processed[partition], *topics.sink(partition)) for partition in partitions}
    ends = topics.dead_letter_ends()
    landed = topics.dead_letters_written(ends)
    for _ in range(_DEAD_LETTER_TRIES):
        if landed:
            break
        sleep(_DEAD_LETTER_PAUSE_S)
        landed = topics.dead_letters_written(ends)
    found = {}
    for partition in partitions:
        low, end = topics.bounds(partition)
        found[partition] = Reach(low, min(end, max(low, reached[partition])) if landed else low, end)
    return found


def examine(
    topics: TopicEvidence, tables: TableEvidence, partition: int, start: int, end: int, known: Known = nothing_known
) -> tuple[int, Settlement]:
    """Settle [start, end), or what raw_events still has of it when it loses its oldest meanwhile; also its start.

    known: of the offsets that are absent, those that are certainly duplicates.
    """
    while True:
        stored = tables.stored(partition, start, end)
        settlement = settle(
            start,
            end,
            stored,
            lambda offsets: topics.read(partition, offsets),
            tables.kept,
            known(missing(start, end, stored)),
        )
        low = min(end, topics.bounds(partition)[0])
        if not settlement.account.lost or low <= start:
            return start, settlement
        start = low


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
        counts[LedgerOutcome.ACCEPTED] += events


class Auditor:
    """Computes ledgers from Kafka and the database, whole, for a command."""

    def __init__(self, topics: AuditedTopics, tables: AuditedTables, sleep: Sleep) -> None:
        self._topics = topics
        self._tables = tables
        self._sleep = sleep

    def audit(self, since_ms: int | None = None, tell: Tell = lambda line: None) -> Ledger:
        """The ledger of what raw_events still holds, or of what came since a time (ms since 1970)."""
        ledger = Ledger()
        for project_id, events in self._tables.refused(since_ms or 0):
            ledger.count(project_id, LedgerOutcome.DEAD, events)
            ledger.refused += events
        for partition, (low, settled, end) in reaches(self._topics, self._sleep).items():
            start = low if since_ms is None else max(low, self._topics.offset_at(partition, since_ms, end))
            account = Account()
            for first, last in spans(start, settled):
                account.add(self._settle(ledger, partition, first, last))
            self._in_flight(ledger, account, partition, max(start, settled), end)
            ledger.partitions[partition] = account
            tell(f"partition {partition}: {account.accepted} events")
        return ledger

    def _settle(self, ledger: Ledger, partition: int, start: int, end: int) -> Account:
        first, settlement = examine(self._topics, self._tables, partition, start, end)
        for outcome, project_id, events in self._tables.by_project(partition, first, end):
            ledger.count(project_id, outcome, events)
        _count(ledger, LedgerOutcome.DUPLICATE, settlement.duplicates)
        _count(ledger, LedgerOutcome.LOST, settlement.strays)
        return settlement.account

    def _in_flight(self, ledger: Ledger, account: Account, partition: int, settled: int, end: int) -> None:
        account.accepted += end - settled
        account.in_flight = end - settled
        if settled < end:
            for project_id, events in self._topics.projects(partition, settled, end).items():
                ledger.count(project_id, LedgerOutcome.IN_FLIGHT, events)


def _count(ledger: Ledger, outcome: str, events: Iterable[RawEvent]) -> None:
    for project_id, number in Counter(event.project_id for event in events).items():
        ledger.count(project_id, outcome, number)
