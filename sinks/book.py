"""The ledger kept up to date: pages of settled offsets, which of them to look at next, and their sum. Pure.

A page is settled when its events have landed, and looked at again for ever after: what is written twice or vanishes
later is found too. Nothing of it outlives the process, since everything is in the topics and the tables.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from sinks.audit import Reach
from sinks.ledger import NO_OFFSETS, Account, Offsets

PAGE_EVENTS: Final = 100_000  # one query's work: some ten milliseconds
NEW, UNSOUND, UNSEEN, SEEN = range(4)  # how urgent a look at a page is
OTHER: Final = "other"
UNKNOWN: Final = "unknown"  # whose a dead letter is cannot always be read

PageName = tuple[int, int]  # partition and number of the page
Counts = Counter[tuple[str, str]]  # by project label and outcome


class Span(NamedTuple):
    """Offsets [start, end) of a partition, within one page."""

    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Page:
    """What was found of a span. `duplicates`: a fingerprint of the absent offsets, all of them duplicates then."""

    start: int
    end: int
    account: Counter[str]
    projects: Counts
    duplicates: int | None
    checked: int

    @property
    def sound(self) -> bool:
        """Nothing lost and nothing twice."""
        return not self.account["lost"] and not self.account["doubled"]

    def known(self, start: int, absent: Offsets) -> Offsets:
        """Of the absent offsets from `start`, those known for duplicates: all of the page's if they are the same."""
        before = absent[absent < self.end]
        return before if start == self.start and self.duplicates == fingerprint(before) else NO_OFFSETS


def fingerprint(offsets: Offsets) -> int:
    """A number that differs where the offsets do; a page's duplicates themselves would be a thousand times larger."""
    return hash(np.ascontiguousarray(offsets).tobytes())


def counts_of(account: Account) -> Counter[str]:
    """The account as numbers by outcome."""
    return Counter(
        accepted=account.accepted,
        stored=account.stored,
        duplicate=account.duplicate,
        dead=account.dead,
        lost=len(account.lost),
        doubled=len(account.doubled),
    )


@dataclass(slots=True)
class Book:
    """The pages, by partition and number. `labels_max`: how many projects keep their own name."""

    labels_max: int
    page_events: int = PAGE_EVENTS
    pages: dict[PageName, Page] = field(default_factory=dict)
    reaches: dict[int, Reach] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    _checked: int = 0
    _seen_to: dict[int, int] = field(default_factory=dict)  # by partition, the highest page looked at

    def reach(self, found: Mapping[int, Reach]) -> None:
        """Take note of how far everything is; what was settled stays so, and pages that raw_events lost are gone."""
        for partition, now in found.items():
            before = self.reaches.get(partition)
            if before is not None and before.end > now.end:  # recreated: its offsets are other events
                self._forget(partition, before.end)
                self._seen_to.pop(partition, None)
            elif before is not None:
                now = now._replace(settled=max(now.settled, min(before.settled, now.end)))
            self.reaches[partition] = now
            self._forget(partition, now.low)

    def due(self) -> list[Span]:
        """What to look at, most urgent first: what is new, what was unsound, the unseen, the longest unseen."""
        spans = []
        for partition, (low, settled, _) in self.reaches.items():
            for number in range(low // self.page_events, -(-settled // self.page_events)):
                start = max(low, number * self.page_events)
                end = min(settled, (number + 1) * self.page_events)
                if start < end:
                    spans.append(Span(partition, start, end))
        return sorted(spans, key=lambda span: (*self.urgency(span), span))

    def page(self, span: Span) -> Page | None:
        """What was found when this page was last looked at."""
        return self.pages.get((span.partition, span.start // self.page_events))

    def write(self, span: Span, account: Account, projects: Mapping[tuple[str, str], int], absent: Offsets) -> Page:
        """Keep what was found. projects: events by project id and outcome, without duplicates that were known."""
        self._checked += 1
        counts: Counts = Counter()
        for (project_id, outcome), events in projects.items():
            counts[self._label(project_id), outcome] += events
        before = self.page(span)
        if before is not None and len(before.known(span.start, absent)):
            counts.update({name: events for name, events in before.projects.items() if name[1] == "duplicate"})
        duplicates = None if account.lost else fingerprint(absent)
        page = Page(span.start, span.end, counts_of(account), counts, duplicates, self._checked)
        number = span.start // self.page_events
        self.pages[span.partition, number] = page
        self._seen_to[span.partition] = max(number, self._seen_to.get(span.partition, number))
        return page

    def total(self) -> Counter[str]:
        """Events by outcome: of all pages, and what is in flight."""
        total: Counter[str] = Counter()
        for page in self.pages.values():
            total.update(page.account)
        in_flight = sum(reach.end - reach.settled for reach in self.reaches.values())
        total.update(accepted=in_flight, in_flight=in_flight)
        return total

    def projects(self) -> Counts:
        """Events of all pages by project label and outcome."""
        total: Counts = Counter()
        for page in self.pages.values():
            total.update(page.projects)
        return total

    @property
    def unchecked(self) -> int:
        """Settled offsets that no page has."""
        settled = sum(reach.settled - reach.low for reach in self.reaches.values())
        return max(0, settled - sum(page.end - page.start for page in self.pages.values()))

    def urgency(self, span: Span) -> tuple[int, int]:
        """NEW, UNSOUND, UNSEEN or SEEN; and the order among these: as they came, but of the unseen the newest first."""
        page = self.page(span)
        if page is None:
            newest = (self.reaches[span.partition].settled - 1) // self.page_events
            above = self._seen_to.get(span.partition, newest - 1) < span.start // self.page_events
            return (NEW, span.start) if above else (UNSEEN, -span.start)
        if page.end < span.end:
            return NEW, span.start
        return (UNSOUND, 0) if not page.sound or page.start < span.start else (SEEN, page.checked)

    def _forget(self, partition: int, low: int) -> None:
        for name in [name for name, page in self.pages.items() if name[0] == partition and page.end <= low]:
            del self.pages[name]

    def _label(self, project_id: str) -> str:
        if not project_id:
            return UNKNOWN
        if project_id not in self.labels and len(self.labels) < self.labels_max:
            self.labels.add(project_id)
        return project_id if project_id in self.labels else OTHER
