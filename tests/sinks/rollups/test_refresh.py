"""What a refresh looks at and replaces, when it stops, and what it knows of age; without a server."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.rollups import refresh
from sinks.rollups.buckets import HOUR_S, days_of, windows
from sinks.rollups.refresh import Refresher
from tests.sinks.rollups.worlds import TODAY, MemoryRollups, ago, at


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(days=st.integers(0, 100), size=st.integers(1, 40))
def test_windows_cover_each_day_once_the_newest_first(days: int, size: int) -> None:
    first = TODAY - timedelta(days=days)
    cut = list(windows(first, TODAY, size))
    assert [day for window in cut for day in days_of(*window)] == list(days_of(first, TODAY))
    assert all((last - begin).days < size for begin, last in cut)


def test_nothing_is_replaced_where_nothing_differs() -> None:
    world = MemoryRollups()
    world.add("p", at(3), range(3))
    refresher = Refresher(world, Clock())
    for _ in range(2):
        refresher.refresh(ago(30), ago(0))
    assert world.replaced == [ago(3)]


def test_a_day_that_is_closed_is_not_even_asked_for() -> None:
    world = MemoryRollups(opened=ago(5))
    world.add("p", at(6), [1])
    world.add("p", at(5), [2])
    Refresher(world, Clock()).refresh(ago(30), ago(0))
    assert world.replaced == [ago(5)]
    assert all(first >= ago(5) for first, _ in world.asked)
    assert world.closed == [ago(5)]
    assert Refresher(world, Clock()).refresh(ago(30), ago(9)).complete
    world.opened = None
    Refresher(world, Clock()).refresh(ago(30), ago(0))
    assert world.replaced == [ago(5), ago(6)]


def test_told_to_stop_it_has_done_one_day_at_least_and_says_that_it_is_not_through() -> None:
    world = MemoryRollups()
    for day in range(3):
        world.add("p", at(day), [day])
    refresher = Refresher(world, Clock())
    done = [refresher.refresh(ago(2), ago(0), lambda: True) for _ in range(3)]
    assert world.replaced == [ago(0), ago(1), ago(2)]
    assert [each.complete for each in done] == [False, False, True]


def test_the_age_is_that_of_the_oldest_bucket_that_differs_since_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, world = Clock(), MemoryRollups()
    world.add("p", at(3), [1])
    refresher = Refresher(world, clock)

    def refuse(day: object, starts: object) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(world, "replace_hours", refuse)
        for now in (10.0, 70.0):
            clock.now = now
            with pytest.raises(OSError, match="room"):
                refresher.refresh(ago(5), ago(0))
            refresher.refresh(ago(40), ago(20))  # elsewhere: says nothing of it
        assert refresher.oldest_s == 60.0
    refresher.refresh(ago(5), ago(0))
    assert refresher.oldest_s == 0.0


def test_a_bucket_that_became_equal_by_itself_is_no_longer_of_age(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, world = Clock(), MemoryRollups()
    world.add("p", at(3), [1])
    refresher = Refresher(world, clock)
    with monkeypatch.context() as patch:
        patch.setattr(world, "replace_day", lambda day: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            refresher.refresh(ago(5), ago(0))
    clock.now = 50.0
    assert refresher.oldest_s == 50.0
    refresher.refresh(ago(5), ago(0))  # the hours stand already, the day does not
    assert refresher.oldest_s == 0.0
    assert world.daily() == {("p", at(3) // 86_400 * 86_400): 1}


def test_only_hours_that_differ_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = MemoryRollups()
    world.add("p", at(3, 1), [1])
    world.add("p", at(3, 2), [2])
    refresher = Refresher(world, Clock())
    refresher.refresh(ago(5), ago(0))
    world.add("p", at(3, 2), [3])
    asked: list[list[int]] = []
    monkeypatch.setattr(world, "replace_hours", lambda day, starts: asked.append(starts))
    refresher.refresh(ago(5), ago(0))
    assert asked == [[at(3, 2) // HOUR_S * HOUR_S]]


def test_a_partition_of_events_that_was_dropped_takes_no_bucket_along() -> None:
    world = MemoryRollups()
    world.add("p", at(39), [1])
    world.add("p", at(0), [2])
    refresher = Refresher(world, Clock())
    refresher.refresh(ago(40), ago(0))
    world.erase([1])
    world.add("q", at(38), [3])  # a late one, in what may be the same month
    for _ in range(2):
        refresher.refresh(ago(40), ago(0))
    assert refresher.oldest_s == 0.0
    assert len(world.hourly()) == len(world.daily()) == 3


def test_an_hour_with_events_is_replaced_and_takes_no_other_project_of_it_along() -> None:
    world = MemoryRollups()
    world.add("p", at(39), [1])
    world.add("q", at(39), [2, 3])
    refresher = Refresher(world, Clock())
    refresher.refresh(ago(40), ago(0))
    world.erase([1, 2])
    refresher.refresh(ago(40), ago(0))
    hour = at(39) // HOUR_S * HOUR_S
    assert world.hourly() == {("p", hour): 1, ("q", hour): 1}


def test_what_differs_is_asked_for_in_answers_that_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "BUCKETS_MAX", 4)
    world = MemoryRollups()
    world.buckets_max = 4
    for day in range(3):
        for hour in range(6):
            world.add("p", at(day, hour), [day * 10 + hour])
    done = Refresher(world, Clock()).refresh(ago(2), ago(0))
    assert done.complete
    assert len(world.hourly()) == 18
    assert world.replaced == [ago(0), ago(1), ago(2)]
    assert world.asked == [(ago(2), ago(0)), (ago(2), ago(1)), (ago(2), ago(2))]


def test_what_is_known_of_age_does_not_grow_with_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    world = MemoryRollups()
    for project in range(50):
        world.add(str(project), at(3), [project])
    refresher = Refresher(world, Clock())
    monkeypatch.setattr(world, "replace_hours", lambda day, starts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        refresher.refresh(ago(5), ago(0))
    assert len(refresher._found) == 1
