"""Holds fast tests to their word: a test that is not marked `integration` starts no process and asks no other machine.

Python's audit events tell of every process and every connection that Python code starts, whoever calls; what is
forbidden raises where it happens and fails the test even if that is swallowed. The same holds while tests are
collected. Commands that end by themselves are allowed to tests marked `command`. A C library's own connections
(librdkafka's, libuv's) raise no event: such a test asks for a server anyhow, and that is what marks it.

Nor does a fast test leave anything open: that fails it, or another one during which Python finds it.
"""

import ipaddress
import sys
from collections.abc import Generator
from typing import Final

import pytest

_PROCESS_EVENTS: Final = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}
_OF_PLATFORM: Final = {"file", "uname"}  # the standard library's `platform` asks these what machine this is
_ADVICE: Final = (
    "mark the test `integration` (a server, a package to fetch) or `command` (a command that ends by itself)"
)


class NotFastError(RuntimeError):
    """A fast test did what only an integration test may."""


class _Watch:
    """What is watched at the moment, and what was done that may not be done."""

    def __init__(self) -> None:
        self.subject = ""  # empty: nothing is watched
        self.may_start_commands = False
        self.violations: list[str] = []

    def hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.subject:
            return
        if event in _PROCESS_EVENTS:
            if not self.may_start_commands and arguments[0] not in _OF_PLATFORM:
                self._refuse(f"starts a process: {arguments[1] if event == 'subprocess.Popen' else event}")
        elif event == "socket.connect" and isinstance(arguments[1], tuple) and not _is_local(arguments[1][0]):
            self._refuse(f"connects to {arguments[1][0]}")
        elif event == "socket.getaddrinfo" and not _is_local(arguments[0]):
            self._refuse(f"looks up {arguments[0]!r}")

    def _refuse(self, deed: str) -> None:
        self.violations.append(deed)
        raise NotFastError(f"{self.subject} {deed}; {_ADVICE}")

    def settle(self) -> None:
        """Raise if anything was refused since the last time."""
        deeds, self.violations = self.violations, []
        if deeds:
            raise NotFastError(f"{self.subject} {'; '.join(deeds)}; {_ADVICE}")


_watch = _Watch()
sys.addaudithook(_watch.hook)


def _is_local(host: object) -> bool:
    name = host.decode(errors="replace") if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Importing a test module starts nothing and fetches nothing."""
    _watch.subject, _watch.may_start_commands = f"collecting {collector.nodeid or 'the tests'}", False
    try:
        report = yield
        if _watch.violations and report.passed:
            report.outcome, report.longrepr = "failed", f"{_watch.subject} {'; '.join(_watch.violations)}; {_ADVICE}"
        return report
    finally:
        _watch.subject, _watch.violations = "", []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Python tells what was left open when it collects it, during any later test: where servers are in the run, it may
    be theirs, and fails nobody."""
    if all(item.get_closest_marker("integration") is None for item in session.items):
        for item in session.items:
            item.add_marker(pytest.mark.filterwarnings("error::ResourceWarning"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Watch a fast test with its fixtures."""
    if item.get_closest_marker("integration") is None:
        _watch.subject = item.nodeid
        _watch.may_start_commands = item.get_closest_marker("command") is not None
    try:
        return (yield)
    finally:
        _watch.subject, _watch.violations = "", []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that swallowed the refusal."""
    yield
    _watch.settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fixtures' last deeds count too."""
    yield
    _watch.settle()
