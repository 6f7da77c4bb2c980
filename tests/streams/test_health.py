"""What the worker says of itself to those who restart it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.admin import health
from streams.app import App

STUCK_S = 100.0


def worker(oldest_s: float = 0.0, **fields: Any) -> App:
    """A worker that processes, but for what is said."""
    sound = {"crashed": False, "crash_reason": None, "started": True, "rebalancing": False, "rebalancing_count": 1,
             "in_recovery": False}  # fmt: skip
    return cast(App, SimpleNamespace(**(sound | fields), epochs=SimpleNamespace(oldest_seconds=lambda: oldest_s)))


def test_a_worker_that_processes_is_ready() -> None:
    condition = health(worker(oldest_s=99.0), STUCK_S)
    assert (condition.alive, condition.ready) == (True, True)


@pytest.mark.parametrize(
    "fields",
    [{"started": False}, {"rebalancing_count": 0}, {"rebalancing": True}, {"in_recovery": True}],
    ids=["starting", "before its first rebalance", "rebalancing", "restoring"],
)
def test_a_worker_that_does_not_process_yet_is_alive_and_not_ready(fields: dict[str, Any]) -> None:
    condition = health(worker(**fields), STUCK_S)
    assert (condition.alive, condition.ready) == (True, False)


def test_a_worker_that_is_stuck_or_crashed_is_to_be_restarted() -> None:
    assert not health(worker(oldest_s=101.0), STUCK_S).alive
    crashed = health(worker(crashed=True, crash_reason=ValueError("x")), STUCK_S)
    assert (crashed.alive, crashed.reason) == (False, "crashed: ValueError('x')")
