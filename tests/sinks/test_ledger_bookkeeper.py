"""The ledger's thread among fakes: whose it is, what it does when servers are away, what a round may cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from schemas.metrics import SinksMetrics
from sinks.audit import Reach, examine, reaches
from sinks.book import Book
from sinks.bookkeeper import Bookkeeper, Sources
from sinks.ledger import Offsets, RawEvent, Stored

PAGE = 10


def offsets(values: Sequence[int]) -> Offsets:
    return np.array(values, dtype=np.int64)


@dataclass
class World:
    """raw_events with one partition, all of it processed, and tables; stands for Topics and Tables at once."""

    end: int = 0
    low: int = 0
    rows: set[int] = field(default_factory=set)
    letters_in: int = 0  # how often letters must be asked for until they are in
    away: Exception | None = None
    read_offsets: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    looks: int = 0

    def partitions(self) -> list[int]:
        if self.away is not None:
            raise self.away
        return [0]

    def processed(self, partition: int) -> int:
        self.asked.append("processed")
        return self.end

    def sink(self, partition: int) -> tuple[int | None, bool]:
        self.asked.append("sink")
        return None, False

    def letter_ends(self) -> dict[int, int]:
        self.asked.append("letter_ends")
        return {0: 1}

    def letters_written(self, ends: dict[int, int]) -> bool:
        self.letters_in -= 1
        return self.letters_in < 0

    def bounds(self, partition: int) -> tuple[int, int]:
        self.asked.append("bounds")
        return self.low, self.end

    def read(self, partition: int, wanted: Offsets) -> Iterator[RawEvent]:
        self.read_offsets += wanted.tolist()
        return (RawEvent(offset, "project", "id") for offset in wanted.tolist() if offset >= self.low)

    def stored(self, partition: int, start: int, end: int) -> Stored:
        self.looks += 1
        rows = sorted(offset for offset in self.rows if start <= offset < end)
        return Stored(offsets(rows), offsets([]), offsets([]))

    def kept(self, events: Sequence[RawEvent]) -> set[tuple[str, str]]:
        return {("project", "id")} if self.rows else set()

    def by_project(self, partition: int, start: int, end: int) -> list[tuple[str, str, int]]:
        return [("stored", "project", len([offset for offset in self.rows if start <= offset < end]))]


class Desk:
    """A bookkeeper over a world, with the clock and the ownership in hand."""

    def __init__(self, world: World, seconds_a_look: float = 0.0) -> None:
        self.world = world
        self.mine = True
        self.now = 0.0
        self.opened = self.closed = 0
        self.registry = CollectorRegistry()
        self._seconds_a_look = seconds_a_look
        metrics = SinksMetrics(self.registry)
        self.keeper = Bookkeeper(
            lambda: Book(5, PAGE), self._open, lambda: self.mine, metrics, 20.0, self._clock, lambda: 1_000.0 + self.now
        )

    def round(self) -> None:
        self.keeper.round(Event())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"tally_sinks_ledger_{name}", labels)

    def _open(self) -> Sources:
        self.opened += 1
        world: Any = self.world
        return Sources(world, world, self._close)

    def _close(self) -> None:
        self.closed += 1
        raise OSError("closing fails too")

    def _clock(self) -> float:
        self.now += self._seconds_a_look
        return self.now


def test_servers_that_are_away_cost_a_round_and_are_asked_again() -> None:
    desk = Desk(World(end=5, rows=set(range(5))))
    desk.world.away = ConnectionError("away")
    desk.round()
    assert desk.value("timestamp_seconds") == 0
    assert (desk.opened, desk.closed) == (1, 1)
    desk.world.away = None
    desk.round()
    assert desk.value("events", outcome="stored") == 5
    assert desk.value("timestamp_seconds") == 1_000
    desk.now, desk.world.away = 60.0, RuntimeError("whatever it is")
    desk.round()
    assert desk.value("timestamp_seconds") == 1_000
    assert desk.value("events", outcome="stored") == 5


def test_who_does_not_keep_it_opens_nothing_and_who_loses_it_shows_nothing() -> None:
    desk = Desk(World(end=5, rows={0, 1, 2, 4}))
    desk.mine = False
    desk.round()
    assert desk.opened == 0
    desk.mine = True
    desk.world.rows = set()
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
    desk = Desk(World(end=100, rows=set(range(100))), seconds_a_look=1.0)
    unchecked = []
    for _ in range(5):
        desk.round()
        unchecked.append(desk.value("unchecked"))
    assert unchecked == [80, 60, 40, 20, 0]
    assert desk.value("events", outcome="stored") == 100


def test_what_was_seen_is_looked_at_again_a_page_a_round_when_time_is_short() -> None:
    desk = Desk(World(end=30, rows=set(range(30))), seconds_a_look=1.0)
    for _ in range(2):
        desk.round()
    before = desk.world.looks
    for _ in range(3):
        desk.round()
    assert desk.world.looks == before + 3


def test_what_is_new_may_take_longer_than_what_was_never_seen() -> None:
    desk = Desk(World(end=20, rows=set(range(200))), seconds_a_look=1.0)
    desk.round()
    assert desk.value("unchecked") == 0
    desk.world.end = 95
    unchecked = []
    for _ in range(2):
        desk.round()
        unchecked.append(desk.value("unchecked"))
    assert unchecked == [25, 0]  # 8 pages: 5 and 3


def test_known_duplicates_are_read_once() -> None:
    desk = Desk(World(end=8, rows=set(range(8)) - {3}))
    desk.round()
    desk.round()
    assert desk.world.read_offsets == [3]
    desk.world.end, desk.world.rows = 10, desk.world.rows | {8}
    desk.round()
    assert desk.world.read_offsets == [3, 9]
    assert desk.value("events", outcome="duplicate") == 2
    assert desk.value("project_events", project="project", outcome="duplicate") == 2


def test_what_the_topic_loses_during_a_look_is_not_called_lost() -> None:
    world = World(end=8, rows={5, 6, 7})
    world.read = lambda partition, wanted: _trimmed(world)  # type: ignore[method-assign]
    anything: Any = world
    start, settlement = examine(anything, anything, 0, 0, 8)
    assert start == 5
    assert settlement.account.accepted == 3
    assert settlement.account.sound


def _trimmed(world: World) -> Iterator[RawEvent]:
    world.low = 5
    return iter(())


def test_positions_are_read_in_the_order_that_makes_losses_certain() -> None:
    world = World(end=4, letters_in=3)
    waited: list[float] = []
    anything: Any = world
    assert reaches(anything, waited.append) == {0: Reach(0, 4, 4)}
    assert world.asked == ["processed", "sink", "letter_ends", "bounds"]
    assert len(waited) == 3


def test_dead_letters_that_do_not_arrive_settle_nothing() -> None:
    anything: Any = World(end=4, letters_in=10_000)
    assert reaches(anything, lambda _seconds: None) == {0: Reach(0, 0, 4)}


def test_it_ends_when_told_to_and_says_at_once_that_it_began() -> None:
    desk = Desk(World())
    stopping = Event()
    stopping.set()
    desk.keeper.run(stopping)
    assert desk.value("timestamp_seconds") == 1_000
    assert desk.opened == 0
