"""Several processes that share one port: started, restarted when they die, ended together."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

_log: Final = structlog.get_logger()
_BACKOFF_S_MIN: Final = 0.5
_BACKOFF_S_MAX: Final = 30.0
_CALM_AFTER_S: Final = 60.0
_TICK_S: Final = 0.2


class _Child:
    """One process and when it may be started again."""

    def __init__(self, start: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        self._start = start
        self._backoff_s = _BACKOFF_S_MIN
        self._started_at = time.monotonic()
        self._restart_at: float | None = None
        self.process = start()

    def watch(self, now: float) -> None:
        """Start it again when it is dead and its pause is over; the pause doubles with each early death."""
        if self.process.poll() is None:
            return
        if self._restart_at is None:
            if now - self._started_at > _CALM_AFTER_S:
                self._backoff_s = _BACKOFF_S_MIN
            self._restart_at = now + self._backoff_s
            _log.error("a process died", pid=self.process.pid, exit=self.process.returncode, again_in_s=self._backoff_s)
            self._backoff_s = min(2 * self._backoff_s, _BACKOFF_S_MAX)
        elif now >= self._restart_at:
            self._restart_at = None
            self._started_at = now
            self.process = self._start()


def supervise(starts: Sequence[Callable[[], "subprocess.Popen[bytes]"]], stop_s_max: float) -> int:
    """Run until SIGTERM or SIGINT, then end all; 0 when every one of them ended with 0."""
    stopping = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    children = [_Child(start) for start in starts]
    while not stopping:
        for child in children:
            child.watch(time.monotonic())
        time.sleep(_TICK_S)
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    return max([_wait(child.process, stop_s_max) for child in children], default=0)


def _wait(process: "subprocess.Popen[bytes]", stop_s_max: float) -> int:
    try:
        return 0 if process.wait(stop_s_max) == 0 else 1
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return 1
