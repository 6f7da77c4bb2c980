"""Who keeps the roll-ups, how far it gets in a round, and what it says when it cannot; without a server."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event

from prometheus_client import CollectorRegistry

from schemas.metrics import SinksMetrics
from sinks.rollups.buckets import RollupTables
from sinks.rollups.monitor import RollupMonitor
from tests.sinks.rollups.worlds import TODAY, MemoryRollups, ago, at

NOON_S = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC).timestamp()


class Keeping:
    """A monitor over roll-ups in memory, with clocks that are set by hand."""

    def __init__(self) -> None:
        self.world = MemoryRollups()
        self.registry = CollectorRegistry()
        self.is_mine = True
        self.now = 0.0
        self.slow_s = 0.0  # what a question takes
        self.opened = self.closed = 0
        self.monitor = RollupMonitor(
            self._open,
            lambda: self.is_mine,
            SinksMetrics(self.registry),
            300.0,
            self._clock,
            lambda: NOON_S + self.now,
        )

    def _clock(self) -> float:
        self.now += self.slow_s
        return self.now

    def _open(self) -> tuple[RollupTables, Callable[[], None]]:
        self.opened += 1
        return self.world, self._close

    def _close(self) -> None:
        self.closed += 1

    def round(self) -> None:
        self.monitor.round(Event())

    def metric(self, name: str) -> float:
        value = self.registry.get_sample_value(f"tally_sinks_rollups_{name}")
        assert value is not None
        return value


def test_a_round_brings_every_day_up_to_date() -> None:
    keeping = Keeping()
    for days in (0, 1, 2, 30, 400):
        keeping.world.add("p", at(days), [days])
    keeping.round()
    assert sorted(keeping.world.replaced) == [ago(400), ago(30), ago(2), ago(1), ago(0)]
    assert keeping.metric("buckets_total") == 5
    assert keeping.metric("timestamp_seconds") == NOON_S
    assert keeping.metric("dirty_seconds") == 0
    keeping.world.add("p", at(400), [401])  # a late one
    keeping.round()
    assert keeping.world.replaced[5:] == [ago(400)]
    assert (keeping.opened, keeping.closed) == (1, 0)


def test_the_days_before_take_their_share_and_are_all_reached_in_turn() -> None:
    keeping = Keeping()
    for days in range(60):
        keeping.world.add("p", at(days), [days])
    keeping.slow_s = 4.0
    rounds = 0
    while not {ago(days) for days in range(60)} <= set(keeping.world.replaced):
        before = len(keeping.world.replaced)
        keeping.world.add("p", at(0), [1_000 + rounds])
        keeping.round()
        rounds += 1
        assert keeping.world.replaced[before] == ago(0)  # today, whatever else there is to do
        assert rounds < 100
    assert rounds > 5
    keeping.world.asked.clear()
    for _ in range(30):
        keeping.round()
    assert keeping.world.asked.count((ago(7), ago(1))) > 1  # and round again


def test_it_is_kept_by_one_process_and_others_show_nothing() -> None:
    keeping = Keeping()
    keeping.world.add("p", at(0), [1])
    keeping.is_mine = False
    keeping.round()
    assert keeping.world.replaced == []
    assert keeping.metric("timestamp_seconds") == 0
    keeping.is_mine = True
    keeping.round()
    assert keeping.world.replaced == [ago(0)]
    keeping.is_mine = False
    keeping.round()
    assert (keeping.opened, keeping.closed) == (1, 1)
    assert keeping.metric("timestamp_seconds") == 0


def test_a_database_that_is_away_is_asked_again_and_the_timestamp_tells() -> None:
    keeping = Keeping()
    keeping.world.add("p", at(0), [1])
    keeping.world.failing = True
    keeping.now = 60.0
    keeping.round()
    assert keeping.metric("timestamp_seconds") == 0
    assert (keeping.opened, keeping.closed) == (1, 1)
    keeping.world.failing = False
    keeping.round()
    assert keeping.metric("timestamp_seconds") == NOON_S + 60
    assert keeping.opened == 2
    assert keeping.world.hourly() != {}


def test_what_cannot_be_replaced_grows_old_until_it_can() -> None:
    keeping = Keeping()
    keeping.world.add("p", at(0), [1])
    replace = keeping.world.replace_hours

    def refuse(day: object, starts: object) -> None:
        raise OSError("no room")

    setattr(keeping.world, "replace_hours", refuse)  # noqa: B010
    for keeping.now in (0.0, 300.0):
        keeping.round()
    assert keeping.metric("dirty_seconds") == 300
    setattr(keeping.world, "replace_hours", replace)  # noqa: B010
    keeping.round()
    assert keeping.metric("dirty_seconds") == 0


def test_in_the_first_hours_of_a_day_the_one_before_is_looked_at_first_too() -> None:
    keeping = Keeping()
    for keeping.now, first in ((3_600.0 - 12 * 3_600, ago(1)), (0.0, ago(0)), (11.5 * 3_600, ago(0))):
        keeping.world.asked.clear()
        keeping.round()
        assert keeping.world.asked[0][0] == first
    assert keeping.world.asked[0][1] == ago(-1)  # a client's clock may be ahead
