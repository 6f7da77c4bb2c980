"""The ledger's thread among fakes: whose it is, what it does when servers are away, what a round may cost."""

from collections.abc import Iterator
from threading import Event

from prometheus_client import CollectorRegistry, generate_latest

from schemas.metrics import SinksMetrics
from sinks.ledger.account import Offsets, RawEvent
from sinks.ledger.audit import Reach, examine, reaches
from sinks.ledger.monitor import LedgerMonitor, Sources
from sinks.ledger.pages import Pages
from tests.sinks.memory_ledger import MemoryEvidence

PAGE = 10


class Desk:
    """A monitor over a evidence, with the clock and the ownership in hand."""

    def __init__(self, evidence: MemoryEvidence, seconds_a_look: float = 0.0) -> None:
        self.evidence = evidence
        self.mine = True
        self.now = 0.0
        self.opened = self.closed = 0
        self.registry = CollectorRegistry()
        self._seconds_a_look = seconds_a_look
        metrics = SinksMetrics(self.registry)
        self.monitor = LedgerMonitor(
            lambda: Pages(5, PAGE),
            self._open,
            lambda: self.mine,
            metrics,
            20.0,
            self._clock,
            lambda: 1_000.0 + self.now,
        )

    def round(self) -> None:
        self.monitor.round(Event())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"tally_sinks_ledger_{name}", labels)

    def _open(self) -> Sources:
        self.opened += 1
        return Sources(self.evidence, self.evidence, self._close)

    def _close(self) -> None:
        self.closed += 1
        raise OSError("closing fails too")

    def _clock(self) -> float:
        self.now += self._seconds_a_look
        return self.now


def test_servers_that_are_away_cost_a_round_and_are_asked_again() -> None:
    desk = Desk(MemoryEvidence(end=5, rows=set(range(5))))
    desk.evidence.away = ConnectionError("away")
    desk.round()
    assert desk.value("timestamp_seconds") == 0
    assert (desk.opened, desk.closed) == (1, 1)
    desk.evidence.away = None
    desk.round()
    assert desk.value("events", outcome="stored") == 5
    assert desk.value("timestamp_seconds") == 1_000
    desk.now, desk.evidence.away = 60.0, RuntimeError("whatever it is")
    desk.round()
    assert desk.value("timestamp_seconds") == 1_000
    assert desk.value("events", outcome="stored") == 5


def test_who_does_not_keep_it_opens_nothing_and_who_loses_it_shows_nothing() -> None:
    desk = Desk(MemoryEvidence(end=5, rows={0, 1, 2, 4}, repeats={3: 0}))
    desk.mine = False
    desk.round()
    assert desk.opened == 0
    desk.mine = True
    desk.evidence.rows = set()
    desk.round()
    assert desk.value("difference") == desk.value("events", outcome="lost") == 5
    assert desk.value("project_events", project="project", outcome="lost") == 5
    desk.mine = False
    desk.round()
    assert desk.closed == 1
    assert desk.value("difference") == 0
    assert b"tally_sinks_ledger_events{" not in generate_latest(desk.registry)
    assert b"tally_sinks_ledger_project_events{" not in generate_latest(desk.registry)


def test_a_round_stops_when_its_share_of_the_interval_is_over_and_the_next_goes_on() -> None:
    desk = Desk(MemoryEvidence(end=100, rows=set(range(100))), seconds_a_look=1.0)
    unchecked = []
    for _ in range(5):
        desk.round()
        unchecked.append(desk.value("unchecked"))
    assert unchecked == [80, 60, 40, 20, 0]
    assert desk.value("events", outcome="stored") == 100


def test_what_was_seen_is_looked_at_again_a_page_a_round_when_time_is_short() -> None:
    desk = Desk(MemoryEvidence(end=30, rows=set(range(30))), seconds_a_look=1.0)
    for _ in range(2):
        desk.round()
    before = desk.evidence.looks
    for _ in range(3):
        desk.round()
    assert desk.evidence.looks == before + 3


def test_what_is_new_may_take_longer_than_what_was_never_seen() -> None:
    desk = Desk(MemoryEvidence(end=20, rows=set(range(200))), seconds_a_look=1.0)
    desk.round()
    assert desk.value("unchecked") == 0
    desk.evidence.end = 95
    unchecked = []
    for _ in range(2):
        desk.round()
        unchecked.append(desk.value("unchecked"))
    assert unchecked == [25, 0]  # 8 pages: 5 and 3


def test_known_duplicates_are_read_once() -> None:
    desk = Desk(MemoryEvidence(end=8, rows=set(range(8)) - {3}, repeats={3: 0, 9: 0}))
    desk.round()
    desk.round()
    assert desk.evidence.read_offsets == [3]
    desk.evidence.end, desk.evidence.rows = 10, desk.evidence.rows | {8}
    desk.round()
    assert desk.evidence.read_offsets == [3, 9]
    assert desk.value("events", outcome="duplicate") == 2
    assert desk.value("project_events", project="project", outcome="duplicate") == 2


class Trimming(MemoryEvidence):
    """It loses its oldest when it is first read."""

    def read(self, partition: int, wanted: Offsets) -> Iterator[RawEvent]:
        self.low = 5
        return super().read(partition, wanted)


def test_what_the_topic_loses_during_a_look_is_not_called_lost() -> None:
    evidence = Trimming(end=8, rows={5, 6, 7})
    start, settlement = examine(evidence, evidence, 0, 0, 8)
    assert start == 5
    assert settlement.account.accepted == 3
    assert settlement.account.sound


def test_positions_are_read_in_the_order_that_makes_losses_certain() -> None:
    evidence = MemoryEvidence(end=4, dead_letters_in=3)
    waited: list[float] = []
    assert reaches(evidence, waited.append) == {0: Reach(0, 4, 4)}
    assert evidence.asked == ["processed", "sink", "dead_letter_ends", "bounds"]
    assert len(waited) == 3


def test_dead_letters_that_do_not_arrive_settle_nothing() -> None:
    evidence = MemoryEvidence(end=4, dead_letters_in=10_000)
    assert reaches(evidence, lambda _seconds: None) == {0: Reach(0, 0, 4)}


def test_it_ends_when_told_to_and_says_at_once_that_it_began() -> None:
    desk = Desk(MemoryEvidence())
    stopping = Event()
    stopping.set()
    desk.monitor.run(stopping)
    assert desk.value("timestamp_seconds") == 1_000
    assert desk.opened == 0
