"""When a worker ends itself because nothing moves, and when it has patience."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from streams.admin import Stuck

STUCK_S = 100.0


@dataclass
class Store:
    restored: int = 0


@dataclass
class Table:
    store: Store = field(default_factory=Store)


@dataclass
class Epochs:
    last_commit_at: float = 0.0
    topics: dict[str, str] = field(default_factory=lambda: {"raw": "raw_events"})


@dataclass(frozen=True)
class Place:
    topic: str
    partition: int


class Consumer:
    """Owns one partition in which so many records wait."""

    waiting = 0

    def assignment(self) -> set[Place]:
        return {Place("raw", 0)}

    def highwater(self, _place: Place) -> int:
        return self.waiting

    def committed_offset(self, _place: Place) -> int:
        return 0


class Worker:
    """What Stuck asks of a worker; as made here, it has nothing to do."""

    def __init__(self) -> None:
        self.started = True
        self.rebalancing = self.in_recovery = False
        self.rebalancing_count = 1
        self.epochs = Epochs()
        self.state_tables = {"sessions": Table()}
        self.consumer = Consumer()


def ends(worker: Worker, each_second: Callable[[Worker], None] = lambda _worker: None) -> bool:
    """Whether the worker ends itself within 150 seconds."""
    now = 0.0
    app: Any = worker
    watch = Stuck(app, STUCK_S, lambda: now)
    for _ in range(150):
        now += 1.0
        each_second(worker)
        if watch.is_stuck():
            return True
    return False


def test_a_worker_with_nothing_to_do_stays() -> None:
    assert not ends(Worker())


def test_records_that_wait_without_a_commit_end_it() -> None:
    worker = Worker()
    worker.consumer.waiting = 5
    assert ends(worker)


def test_commits_keep_it_though_records_wait() -> None:
    def commit(worker: Worker) -> None:
        worker.epochs.last_commit_at += 1

    worker = Worker()
    worker.consumer.waiting = 5
    assert not ends(worker, commit)


@pytest.mark.parametrize("state", ["rebalancing", "in_recovery"])
def test_a_rebalance_or_a_restore_that_never_ends_ends_it(state: str) -> None:
    worker = Worker()
    setattr(worker, state, True)
    assert ends(worker)


def test_a_start_that_never_ends_ends_it() -> None:
    worker = Worker()
    worker.started = False
    assert ends(worker)


def test_a_long_restore_that_moves_is_waited_for() -> None:
    def restore(worker: Worker) -> None:
        worker.state_tables["sessions"].store.restored += 1

    worker = Worker()
    worker.in_recovery = True
    assert not ends(worker, restore)


def test_a_group_that_changes_again_and_again_is_waited_for() -> None:
    def change(worker: Worker) -> None:
        worker.rebalancing_count += 1

    worker = Worker()
    worker.rebalancing = True
    assert not ends(worker, change)
