"""Keeps the ledger's metrics, on a thread and connections of its own, beside the consumer loops and never in their way.

One process of the group does it, as several would count everything several times: the one that owns partition 0 of
enriched_events, which the group has decided already. Whatever servers are away, it tries again a round later; only
`ledger_timestamp_seconds` tells. What a round may cost is bounded by time.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Final

import structlog

from schemas.metrics import SinksMetrics
from sinks.ledger.account import Account
from sinks.ledger.audit import examine, nothing_known, reaches
from sinks.ledger.evidence import TableEvidence, TopicEvidence
from sinks.ledger.outcomes import LedgerOutcome, difference
from sinks.ledger.pages import NEW, SEEN, UNSEEN, UNSOUND, Pages, Span
from sinks.rounds import keep_rounds, let_go

log = structlog.get_logger()

# How much of an interval a round may take before it leaves pages of an urgency to the next one. The loops share the
# processor: a look at 100,000 offsets takes a few tenths of a second, and what was seen before can wait.
_SHARES: Final = {NEW: 0.25, UNSOUND: 0.25, UNSEEN: 0.1, SEEN: 0.02}
_NAMED_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Sources:
    """Open connections to what the ledger is computed from."""

    topics: TopicEvidence
    tables: TableEvidence
    close: Callable[[], None]


class LedgerMonitor:
    """`is_mine`: whether the ledger is this process's to keep. `wall_clock`: s since 1970."""

    def __init__(
        self,
        open_pages: Callable[[], Pages],
        open_sources: Callable[[], Sources],
        is_mine: Callable[[], bool],
        metrics: SinksMetrics,
        interval_s: float,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._open_pages = open_pages
        self._open_sources = open_sources
        self._is_mine = is_mine
        self._metrics = metrics
        self._interval_s = interval_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._pages = open_pages()
        self._sources: Sources | None = None
        self._kept = False
        self._shown: set[tuple[str, str]] = set()

    def run(self, stopping: Event) -> None:
        """Until `stopping` is set."""
        self._metrics.ledger_timestamp_seconds.set(self._wall_clock())
        keep_rounds(self.round, self._interval_s, stopping)
        self._close()

    def round(self, stopping: Event) -> None:
        """Bring the ledger up to date, if it is ours. Raises nothing."""
        try:
            if self._is_mine():
                self._keep(stopping)
            else:
                self._stop_keeping()
        except Exception as error:  # whatever it is: the rows do not depend on it
            log.warning("the ledger is not up to date", error=f"{type(error).__name__}: {error}"[:300])
            self._close()

    def _keep(self, stopping: Event) -> None:
        self._kept = True
        if self._sources is None:
            self._sources = self._open_sources()
        self._pages.reach(reaches(self._sources.topics, stopping.wait))
        began = self._clock()
        for index, span in enumerate(self._pages.due()):
            share_s = self._interval_s * _SHARES[self._pages.urgency(span)[0]]
            if stopping.is_set() or (index and self._clock() - began >= share_s):
                break
            self._check(self._sources, span)
        self._publish()

    def _check(self, sources: Sources, span: Span) -> None:
        before = self._pages.page(span)
        known = nothing_known if before is None else (lambda absent: before.known(span.start, absent))
        start, settlement = examine(sources.topics, sources.tables, span.partition, span.start, span.end, known)
        projects: Counter[tuple[str, str]] = Counter()
        for outcome, project_id, events in sources.tables.by_project(span.partition, start, span.end):
            projects[project_id, outcome] += events
        projects.update((event.project_id, LedgerOutcome.DUPLICATE) for event in settlement.duplicates)
        projects.update((event.project_id, LedgerOutcome.LOST) for event in settlement.strays)
        page = self._pages.write(span._replace(start=start), settlement.account, projects, settlement.absent)
        if not page.sound and (before is None or before.account != page.account):
            _tell(span, settlement.account)

    def _publish(self) -> None:
        total = self._pages.total()
        for column in LedgerOutcome:
            self._metrics.ledger_events.labels(column).set(total[column])
        projects = self._pages.projects()
        for gone in self._shown - projects.keys():
            self._metrics.ledger_project_events.remove(*gone)
        for (project, outcome), events in projects.items():
            self._metrics.ledger_project_events.labels(project, outcome).set(events)
        self._shown = set(projects)
        self._metrics.ledger_difference.set(difference(total))
        self._metrics.ledger_unchecked.set(self._pages.unchecked)
        self._metrics.ledger_timestamp_seconds.set(self._wall_clock())

    def _stop_keeping(self) -> None:
        """Another process keeps it now: figures that nobody brings up to date must not be shown."""
        if not self._kept:
            return
        self._kept = False
        self._pages = self._open_pages()
        self._metrics.ledger_events.clear()
        self._metrics.ledger_project_events.clear()
        self._shown = set()
        self._metrics.ledger_difference.set(0)
        self._metrics.ledger_unchecked.set(0)
        self._close()

    def _close(self) -> None:
        sources, self._sources = self._sources, None
        if sources is not None:
            let_go(sources.close)


def _tell(span: Span, account: Account) -> None:
    log.error(
        "the ledger is not sound",
        partition=span.partition,
        lost=len(account.lost),
        lost_offsets=account.lost[:_NAMED_MAX],
        doubled=len(account.doubled),
        doubled_offsets=account.doubled[:_NAMED_MAX],
    )
