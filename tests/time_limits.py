"""Holds a test to its time: pytest-timeout says how long that is, this ends it whatever the test does about that.

pytest-timeout's own signal comes once, and raises what Hypothesis takes for the property's failure: it tries the
example again, and hangs for good. Here what is raised is nothing that a test handles, and comes again while something
swallows it. A process that not even that ends (it is in C, or in an `except BaseException`) is ended itself, with the
stacks of its threads; xdist then fails the test and starts another worker for those that remain.
"""

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator
from typing import Final

import pytest
import pytest_timeout

_AGAIN_S: Final = 10.0  # as long may a test clean up, once its time is over
_ENDED_AFTER_S: Final = 60.0
_STDERR: Final = pytest.StashKey[int]()


class TimeIsOverError(BaseException):
    """A test took longer than it may."""


class _Limit:
    """Of the test that runs now."""

    def __init__(self) -> None:
        self._seconds = 0.0  # none
        self._stderr = 2
        self._is_over = False

    def set(self, seconds: float, stderr: int) -> None:
        """Count from now on; `stderr`: where a process that does not end says so, captured or not."""
        self._seconds, self._stderr, self._is_over = seconds, stderr, False
        signal.signal(signal.SIGALRM, self._tell)
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
        faulthandler.dump_traceback_later(seconds + _ENDED_AFTER_S, exit=True, file=stderr)

    def cancel(self) -> None:
        """Count no more."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()

    def settle(self) -> None:
        """What pytest makes of a test whose time is over is not to be disturbed."""
        if self._is_over:
            self.cancel()

    def set_again(self) -> None:
        """If the test's time is over or it has failed, which stops the count: as much time for its fixtures to end."""
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0 and self._seconds:
            self.set(self._seconds, self._stderr)

    def forget(self) -> None:
        """The test is over."""
        self.cancel()
        self._seconds = 0.0

    def _tell(self, _number: int, _frame: object) -> None:
        __tracebackhide__ = True
        if pytest_timeout.is_debugging():
            return
        if not self._is_over:
            self._is_over = True
            _print_stacks()
        raise TimeIsOverError(f"Timeout: this takes more than {self._seconds:g} s")


_limit = _Limit()


def _print_stacks() -> None:
    """Where each thread stands: among what the test printed, as a parallel run shows nothing else of its workers."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        print(f"Stack of {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}", file=sys.stderr)


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is captured yet."""
    config.stash[_STDERR] = os.dup(2)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> bool:
    """In place of pytest-timeout's own."""
    _limit.set(settings.timeout, item.config.stash[_STDERR])
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer() -> bool:
    """When a test is over, and when it has failed."""
    _limit.cancel()
    return True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, bool | None, bool | None]:
    """No limit outlives its test."""
    try:
        return (yield)
    finally:
        _limit.forget()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """The fixtures' beginning."""
    try:
        yield
    finally:
        _limit.settle()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """The test itself."""
    try:
        yield
    finally:
        _limit.settle()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """The fixtures' end, which may hang as well."""
    _limit.set_again()
    try:
        yield
    finally:
        _limit.settle()
