"""What the worker says of itself to those who restart it: one suite for the Faust application and for the fake."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streams.runtime.health import WorkerStatus, health
from tests.streams.runtime.fake_app import FakeApp
from tests.streams.runtime.faust_app import faust_app

STUCK_S = 100.0


@dataclass(frozen=True)
class Subject:
    """A worker that was made and not started, and what happens to one."""

    app: WorkerStatus
    start: Callable[[], None]
    begin_rebalance: Callable[[], None]
    end_rebalance: Callable[[], None]
    restore: Callable[[bool], None]
    crash: Callable[[BaseException], None]


def fake() -> Subject:
    app = FakeApp()
    app.started, app.rebalancing_count = False, 0

    def start() -> None:
        app.started = True

    def begin_rebalance() -> None:
        app.rebalancing = True
        app.rebalancing_count += 1

    def end_rebalance() -> None:
        app.rebalancing = False

    def restore(under_way: bool) -> None:
        app.in_recovery = under_way

    def crash(reason: BaseException) -> None:
        app.crash_reason = reason

    return Subject(app, start, begin_rebalance, end_rebalance, restore, crash)


def real() -> Subject:
    """The application, with Faust's own calls and flags for each of these."""
    app = faust_app()

    def begin_rebalance() -> None:
        app.on_rebalance_start()

    def end_rebalance() -> None:
        app.rebalancing = False  # on_rebalance_end would go on to tell the tables, which have no Kafka

    def restore(under_way: bool) -> None:
        app.in_recovery = under_way

    def crash(reason: BaseException) -> None:
        app._crash(reason)

    return Subject(app, app._started.set, begin_rebalance, end_rebalance, restore, crash)


@pytest.fixture(params=["fake", "real"])
async def subject(request: pytest.FixtureRequest) -> Subject:
    return fake() if request.param == "fake" else real()


def condition(subject: Subject) -> tuple[bool, bool]:
    """Alive, ready."""
    found = health(subject.app, STUCK_S)
    return found.alive, found.ready


async def test_a_worker_is_ready_once_it_is_started_and_its_first_rebalance_is_over(subject: Subject) -> None:
    assert condition(subject) == (True, False)
    subject.start()
    assert condition(subject) == (True, False)
    subject.begin_rebalance()
    assert condition(subject) == (True, False)
    subject.end_rebalance()
    assert condition(subject) == (True, True)


async def test_a_worker_that_rebalances_or_restores_is_alive_and_not_ready(subject: Subject) -> None:
    subject.start()
    subject.begin_rebalance()
    subject.end_rebalance()
    subject.restore(True)
    assert condition(subject) == (True, False)
    subject.restore(False)
    assert condition(subject) == (True, True)
    subject.begin_rebalance()
    assert condition(subject) == (True, False)


async def test_a_worker_that_crashed_is_to_be_restarted(subject: Subject) -> None:
    subject.start()
    subject.begin_rebalance()
    subject.end_rebalance()
    subject.crash(ValueError("x"))
    assert condition(subject) == (False, False)
    assert health(subject.app, STUCK_S).reason == "crashed: ValueError('x')"


def test_a_worker_with_a_chunk_that_waits_too_long_is_to_be_restarted() -> None:
    app = FakeApp()
    app.epochs.oldest_s = STUCK_S - 1
    assert health(app, STUCK_S).ready
    app.epochs.oldest_s = STUCK_S + 1
    assert not health(app, STUCK_S).alive
