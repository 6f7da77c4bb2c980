"""When a worker ends itself because nothing moves, and when it has patience."""

from collections.abc import Callable

import pytest

from streams.runtime.health import Stuck
from tests.streams.runtime.fake_app import FakeApp

STUCK_S = 100.0


def ends(worker: FakeApp, each_second: Callable[[FakeApp], None] = lambda _worker: None) -> bool:
    """Whether the worker ends itself within 150 seconds."""
    now = 0.0
    watch = Stuck(worker, STUCK_S, lambda: now)
    for _ in range(150):
        now += 1.0
        each_second(worker)
        if watch.is_stuck():
            return True
    return False


def test_a_worker_with_nothing_to_do_stays() -> None:
    assert not ends(FakeApp())


def test_records_that_wait_without_a_commit_end_it() -> None:
    worker = FakeApp()
    worker.consumer.waiting = 5
    assert ends(worker)


def test_commits_keep_it_though_records_wait() -> None:
    def commit(worker: FakeApp) -> None:
        worker.epochs.last_commit_at += 1

    worker = FakeApp()
    worker.consumer.waiting = 5
    assert not ends(worker, commit)


@pytest.mark.parametrize("state", ["rebalancing", "in_recovery"])
def test_a_rebalance_or_a_restore_that_never_ends_ends_it(state: str) -> None:
    worker = FakeApp()
    setattr(worker, state, True)
    assert ends(worker)


def test_a_start_that_never_ends_ends_it() -> None:
    worker = FakeApp()
    worker.started = False
    assert ends(worker)


def test_a_long_restore_that_moves_is_waited_for() -> None:
    def restore(worker: FakeApp) -> None:
        worker.state_tables["sessions"].store.restored += 1

    worker = FakeApp()
    worker.in_recovery = True
    assert not ends(worker, restore)


def test_a_group_that_changes_again_and_again_is_waited_for() -> None:
    def change(worker: FakeApp) -> None:
        worker.rebalancing_count += 1

    worker = FakeApp()
    worker.rebalancing = True
    assert not ends(worker, change)
