"""A server as an ordinary process: start, stop, kill, suspend, resume, restart on the same ports and data.

A server lives in one folder, `home`: its data, `server.log` and `server.pid`. The pid file is believed only while that
process's command line names `home`, so a pid that the system has given to another program is never signalled.
"""

import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from docker.local.ports import HOST as HOST
from docker.local.ports import free_port as free_port
from docker.local.tools import require_tool

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.05
LOG_TAIL_LINES = 20

# PR_SET_PDEATHSIG fires when the *thread* that forked ends. One thread that lives as long as this process does every
# fork, so that a server restarted from a worker thread does not die with that worker.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-spawner")


class ServerFailedError(RuntimeError):
    """A server ended, or did not become ready, while starting. `log_tail` holds its last lines."""

    def __init__(self, name: str, reason: str, log_tail: str) -> None:
        super().__init__(f"{name} {reason}; its last log lines:\n{log_tail}")
        self.log_tail = log_tail


def accepts_connections(port: int) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


class ServerProcess:
    """One server. Subclasses say how it is prepared, started and probed.

    `ends_with_parent=True` (tests): the kernel kills the server when this process dies. `False` (`up`): it outlives
    this process, and another process finds it again through the pid file.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, home: Path, *, ends_with_parent: bool = True) -> None:
        self.name = name
        self.home = home.resolve()
        self.log_path = self.home / "server.log"
        self._pid_path = self.home / "server.pid"
        self._ends_with_parent = ends_with_parent
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def prepare(self) -> None:
        """Write configuration; called before every start, with `home` there."""

    def command(self) -> list[str]:
        """The command line. It must name `home`."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether the server answers a real request."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """The process id while it runs, suspended or not."""
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        try:
            pid = int(self._pid_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if is_alive(pid) and self._is_ours(pid) else None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.pid is not None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start and wait until ready; nothing but the wait if it runs already. Raises `ServerFailedError`."""
        self.launch()
        try:
            self.wait_ready(timeout_s)
        except ServerFailedError:
            self.kill()
            raise
        return self

    def launch(self) -> None:
        """Start without waiting, so that several can start side by side; nothing if it runs already."""
        if self.pid is None:
            self.home.mkdir(parents=True, exist_ok=True)
            self.prepare()
            self._spawn()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once the server answers; raises `ServerFailedError` if it ended or did not answer in time."""
        give_up_at = time.monotonic() + timeout_s
        while True:
            if self.pid is None:
                raise ServerFailedError(self.name, "ended while starting", self.log_tail())
            if self.is_ready():
                return
            if time.monotonic() > give_up_at:
                raise ServerFailedError(self.name, f"was not ready after {timeout_s:.0f} s", self.log_tail())
            time.sleep(POLL_INTERVAL_S)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End it in order; by force after `timeout_s`."""
        pid = self.pid
        if pid is None:
            return
        self._signal(pid, self.stop_signal)
        self._signal(pid, signal.SIGCONT)  # a suspended process would not see the other signal
        if not self._wait_ended(pid, timeout_s):
            self.kill()
        self._pid_path.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL: the crash. The data stays."""
        pid = self.pid
        if pid is None:
            return
        self._signal(pid, signal.SIGKILL)
        if not self._wait_ended(pid, STOP_TIMEOUT_S):
            raise ServerFailedError(self.name, f"(pid {pid}) did not end after SIGKILL", self.log_tail())
        self._pid_path.unlink(missing_ok=True)

    def suspend(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        if (pid := self.pid) is not None:
            self._signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if (pid := self.pid) is not None:
            self._signal(pid, signal.SIGCONT)

    def restart(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Stop in order, then start on the same ports and data."""
        self.stop()
        return self.start(timeout_s)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the log since the last start: for a person to read; a test asks `said`."""
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log().splitlines()[-lines:])

    def log(self) -> str:
        """The whole log since the last start; empty when there is none."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def said(self, text: str) -> int:
        """How often `text` stands in the log since the last start."""
        return self.log().count(text)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        command = self.command()
        if self._ends_with_parent:
            command = [require_tool("setpriv"), "--pdeathsig", "KILL", "--", *command]
        with self.log_path.open("ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            self._child = _SPAWNER.submit(
                subprocess.Popen,
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                start_new_session=True,
            ).result()
        self._pid_path.write_text(f"{self._child.pid}\n")

    def _is_ours(self, pid: int) -> bool:
        try:
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(f"{self.home}/") in command_line

    def _signal(self, pid: int, number: signal.Signals) -> None:
        try:
            os.killpg(pid, number)  # every server leads its own process group
        except ProcessLookupError:
            return

    def _wait_ended(self, pid: int, timeout_s: float) -> bool:
        give_up_at = time.monotonic() + timeout_s
        while self._child.poll() is None if self._child is not None else is_alive(pid):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(POLL_INTERVAL_S)
        return True


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie that waits for its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
