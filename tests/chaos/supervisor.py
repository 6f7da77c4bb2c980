"""Keeps the processes running, as systemd or Kubernetes would, and knows of each how it ended and why."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from docker.local.clickhouse import ClickHouseServer
from docker.local.services import Service
from tests.chaos.counters import Counters
from tests.chaos.exits import MEMBERS, SUSPENDED, Ending, Trouble, unexplained

_WATCH_S: Final = 0.25
_RESTART_S: Final = 1.0
_READ_EVERY: Final = 4  # rounds of watching
_LOG_LINES: Final = 30


class SupervisorFailedError(RuntimeError):
    """The thread that restarts the processes met something nobody had foreseen: the run tells nothing any more."""


class Slot:
    """A place for one process. While `wanted`, the supervisor starts it again whenever it has ended."""

    def __init__(self, kind: str, service: Service, port: int, environ: Mapping[str, str]) -> None:
        self.kind = kind
        self.service = service
        self.port = port  # a collector's; else 0
        self.wanted = False
        self.frozen = False
        self.environ = dict(environ)
        self.once: dict[str, str] = {}  # environment of the next start alone
        self.not_before = 0.0  # what ended by itself is not started again at once
        self.starts = 0
        self.died_at_failpoint = 0  # in which of its starts it last did

    @property
    def name(self) -> str:
        """Which one it is."""
        return self.service.name


class Supervisor:
    """Watches the slots on a thread of its own.

    kills: processes and servers ended by SIGKILL, failpoints among them. endings: processes that nobody had told to
    end. troubles: what may be the reason for those. `failure`: what ended the thread.
    """

    def __init__(self, slots: list[Slot], clickhouse: ClickHouseServer) -> None:
        self.kills = 0
        self.endings: list[Ending] = []
        self.troubles: list[Trouble] = []
        self.counters = Counters()
        self.failure: BaseException | None = None
        self._slots = slots
        self._clickhouse = clickhouse
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name="supervisor", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Restart nothing any more."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Raises SupervisorFailedError when nobody watches any more."""
        if self.failure is not None:
            raise SupervisorFailedError(repr(self.failure)) from self.failure

    def unexplained(self) -> list[str]:
        """The endings that no fault explains."""
        return unexplained(self.endings, self.troubles)

    def want(self, slot: Slot) -> None:
        """Have it run from now on."""
        with self._lock:
            slot.wanted = True
            self._note_members(slot)
            if not slot.service.running:
                self._launch(slot)

    def dismiss(self, slot: Slot) -> int:
        """SIGTERM, and not started again; its exit code, which is judged. Raises TimeoutError when it does not end."""
        with self._lock:
            is_news = slot.wanted and not slot.not_before
            slot.wanted, slot.not_before = False, 0.0
            self._note_members(slot)
        code = slot.service.terminate(timeout_s=60.0)
        # Told before it had said a word, it was still being loaded, and had nothing to put in order.
        had_begun = code != -signal.SIGTERM or slot.service.log() != ""
        if code != 0 and is_news and had_begun and not self._died_at_failpoint(slot, code):
            self._note_ending(slot, code)
        return code

    def kill(self, slot: Slot, *, restart: bool = True) -> bool:
        """SIGKILL, and started again unless told otherwise; whether there was a process to kill."""
        with self._lock:
            slot.wanted = restart
            if not slot.service.running:
                return False
            self.counters.read(slot.service)
            slot.service.kill()
            self.kills += 1
            self._note_members(slot)
            if restart:
                self._launch(slot)
            return True

    @contextmanager
    def suspended(self, slot: Slot) -> Iterator[None]:
        """SIGSTOP while it lasts."""
        with self._lock:
            slot.frozen = True
            slot.service.suspend()
        try:
            with self.trouble(SUSPENDED, slot.name):
                yield
        finally:
            slot.service.resume()
            slot.frozen = False

    @contextmanager
    def trouble(self, name: str, slot: str = "") -> Iterator[None]:
        """Something that may end processes, while it lasts."""
        going_on = Trouble(name, time.monotonic(), slot=slot)
        self.troubles.append(going_on)
        try:
            yield
        finally:
            going_on.ended = time.monotonic()

    def _note_members(self, slot: Slot) -> None:
        if slot.kind == "streams":
            now = time.monotonic()
            self.troubles.append(Trouble(MEMBERS, now, now))

    def _launch(self, slot: Slot) -> None:
        slot.service.extra_environ = slot.environ | slot.once
        slot.once = {}
        slot.starts += 1
        slot.service.launch()

    def _guarded(self) -> None:
        try:
            self._watch()
        except BaseException as error:
            self.failure = error

    def _watch(self) -> None:
        """Start again what has ended; read the counters that a crash resets."""
        rounds = 0
        while not self._ending.wait(_WATCH_S):
            rounds += 1
            is_reading = rounds % _READ_EVERY == 0
            if is_reading:
                self.counters.read_database(self._clickhouse)
            for slot in self._slots:
                self._attend(slot, is_reading=is_reading)

    def _attend(self, slot: Slot, *, is_reading: bool) -> None:
        with self._lock:
            if not slot.wanted or slot.frozen:
                return
            if not slot.service.running:
                if slot.not_before < time.monotonic() and self._may_restart(slot):
                    self._launch(slot)
            elif is_reading:
                self.counters.read(slot.service)

    def _may_restart(self, slot: Slot) -> bool:
        """Whether at once. What ended by itself is noted, once, and waits.

        The supervisor's own kills are restarted where they are made: what is found ended here died at a failpoint, or
        by itself.
        """
        if slot.not_before:
            slot.not_before = 0.0
            return True
        code = slot.service.exit_code
        self._note_members(slot)
        if self._died_at_failpoint(slot, code):
            return True
        self._note_ending(slot, code)
        slot.not_before = time.monotonic() + _RESTART_S
        return False

    def _died_at_failpoint(self, slot: Slot, code: int | None) -> bool:
        if code != -signal.SIGKILL or slot.service.extra_environ == slot.environ:
            return False
        self.kills += 1
        slot.died_at_failpoint = slot.starts
        return True

    def _note_ending(self, slot: Slot, code: int | None) -> None:
        log = slot.service.log_tail(_LOG_LINES)
        self.endings.append(Ending(slot.name, slot.kind, code, time.monotonic(), log))
