"""The ledger kept up to date: pages of settled offsets, which of them to look at next, and their sum. Pure.

A page is settled when its events have landed, and looked at again and again: what is written twice or vanishes
later is found too. Nothing of it outlives the process, since everything is in the topics and the tables.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from sinks.ledger.account import NO_OFFSETS, Account, Offsets
from sinks.ledger.audit import Reach
from sinks.ledger.outcomes import LedgerOutcome
from sinks.ledger.shares import Counts, Shares

PAGE_EVENTS: Final = 100_000  # one query's work: some ten milliseconds
PAGES_MAX: Final = 20_000  # some 20 MB; 2,000,000,000 events before pages grow
NEW, UNSOUND, UNSEEN, SEEN = range(4)  # how urgent a look at a page is

PageName = tuple[int, int]  # partition and number of the page


class Span(NamedTuple):
    """Offsets [start, end) of a partition, within one page."""

    partition: int
    start: int
    end: int


class Figures(NamedTuple):
    """Events of a page by `LedgerOutcome`; nothing on a page is in flight."""

    accepted: int
    stored: int
    duplicate: int
    dead: int
    lost: int
    doubled: int


@dataclass(frozen=True, slots=True)
class Page:
    """What was found of a span.

    shares: events by project and outcome, packed, as there may be tens of thousands of pages. duplicates: a fingerprint
    of the absent offsets, all of them duplicates then; None when it is not known.
    """

    start: int
    end: int
    account: Figures
    shares: bytes
    duplicates: int | None
    checked: int

    @property
    def sound(self) -> bool:
        """Nothing lost and nothing twice."""
        return not self.account.lost and not self.account.doubled

    def known(self, start: int, absent: Offsets) -> Offsets:
        """Of the absent offsets from `start`, those known for duplicates: all of the page's if they are the same."""
        before = absent[absent < self.end]
        return before if start == self.start and self.duplicates == fingerprint(before) else NO_OFFSETS


def fingerprint(offsets: Offsets) -> int:
    """A number that differs where the offsets do; a page's duplicates themselves would be a thousand times larger."""
    return hash(np.ascontiguousarray(offsets).tobytes())


def figures_of(account: Account) -> Figures:
    """The account as numbers by outcome."""
    events = account.events()
    return Figures(*(events[LedgerOutcome(name)] for name in Figures._fields))


@dataclass(slots=True)
class Pages:
    """All pages, by partition and number, and their sums. `labels_max`: how many projects keep their own name.

    Memory is bounded by `pages_max`: when raw_events holds more, pages become twice as long.
    """

    labels_max: int
    page_events: int = PAGE_EVENTS
    pages_max: int = PAGES_MAX
    pages: dict[PageName, Page] = field(default_factory=dict)
    reaches: dict[int, Reach] = field(default_factory=dict)
    _checked: int = 0
    _seen_to: dict[int, int] = field(default_factory=dict)  # by partition, the highest page looked at
    _shares: Shares = field(init=False)
    _account: Counter[str] = field(default_factory=Counter)
    _projects: Counts = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._shares = Shares(self.labels_max)

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
        while (
            sum(
                -(-reach.settled // self.page_events) - reach.low // self.page_events for reach in self.reaches.values()
            )
            > self.pages_max
        ):
            self._lengthen()

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
            counts[self._shares.label(project_id), outcome] += events
        before = self.page(span)
        if before is not None and len(before.known(span.start, absent)):
            shares = self._shares.unpack(before.shares)
            counts.update({name: events for name, events in shares.items() if name[1] == LedgerOutcome.DUPLICATE})
        duplicates = None if account.lost else fingerprint(absent)
        page = Page(span.start, span.end, figures_of(account), self._shares.pack(counts), duplicates, self._checked)
        number = span.start // self.page_events
        self._put((span.partition, number), page)
        self._seen_to[span.partition] = max(number, self._seen_to.get(span.partition, number))
        return page

    def total(self) -> Counter[str]:
        """Events by outcome: of all pages, and what is in flight."""
        total = Counter(self._account)
        in_flight = sum(reach.end - reach.settled for reach in self.reaches.values())
        total.update(accepted=in_flight, in_flight=in_flight)
        return total

    def projects(self) -> Counts:
        """Events of all pages by project label and outcome."""
        return Counter(self._projects)

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
            self._put(name, None)

    def _put(self, name: PageName, page: Page | None) -> None:
        """Keep a page, or none, under this name, and the sums equal to the pages."""
        if (before := self.pages.pop(name, None)) is not None:
            self._account.subtract(before.account._asdict())
            self._projects.subtract(self._shares.unpack(before.shares))
            self._projects += Counter()  # what fell to 0 is gone: a project that has nothing left is not shown
        if page is not None:
            self.pages[name] = page
            self._account.update(page.account._asdict())
            self._projects.update(self._shares.unpack(page.shares))

    def _lengthen(self) -> None:
        """Make pages twice as long: two that were whole are one, of whose duplicates no fingerprint is known."""
        pages = self.pages
        self.page_events *= 2
        self._seen_to = {partition: number // 2 for partition, number in self._seen_to.items()}
        self.pages = {}
        self._account.clear()
        self._projects.clear()
        for (partition, number), page in pages.items():
            other = pages.get((partition, number + 1)) if number % 2 == 0 else None
            if other is not None and page.end == other.start:
                self._put((partition, number // 2), self._joined(page, other))
            elif number % 2 == 0:
                self._put((partition, number // 2), page)

    def _joined(self, page: Page, other: Page) -> Page:
        account = Figures(*map(sum, zip(page.account, other.account, strict=True)))
        shares = self._shares.pack(self._shares.unpack(page.shares) + self._shares.unpack(other.shares))
        return Page(page.start, other.end, account, shares, None, min(page.checked, other.checked))
