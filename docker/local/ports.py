"""Ports that nobody else of this machine is handed: each process that starts servers has a slice of them to itself.

A probe alone ("nothing listens there now") is a bet: whoever asks next, in another process, is told the same port
before the first server has bound it, and while a server restarts its port is anybody's. So a slice is held by a lock
on a file for as long as its process lives, and a port of it is not handed out again before all the others were.
"""

import atexit
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

HOST: Final = "127.0.0.1"
SLICE_PORTS: Final = 400  # a whole run of the tests in one process asks for some 700; those of ended servers come again
_FIRST_PORT: Final = 12_000
_LOCKS: Final = Path(tempfile.gettempdir()) / f"tally-ports-{os.geteuid()}"


class PortSlice:
    """The ports from `first` on that are this process's while `lock` is open."""

    def __init__(self, first: int, lock: IO[bytes]) -> None:
        self.first = first
        self.pid = os.getpid()
        self._lock = lock
        self._next = 0

    @classmethod
    def take(cls) -> "PortSlice":
        """The first slice that no living process has. Raises `OSError` when all are taken."""
        # A port from the range of outgoing connections could be taken by any client while its server restarts; a client
        # that retries could even connect to itself.
        outgoing_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        _LOCKS.mkdir(exist_ok=True)
        for first in range(_FIRST_PORT, outgoing_from - SLICE_PORTS + 1, SLICE_PORTS):
            lock = (_LOCKS / str(first)).open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            return cls(first, lock)
        raise OSError(f"no slice of ports from {_FIRST_PORT} to {outgoing_from} is left: {_LOCKS} tells who has them")

    def close(self) -> None:
        """Give the slice back."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def hand_out(self, count: int) -> int:
        """The first of `count` neighbouring ports on which nothing listens. Raises `OSError`."""
        for _ in range(2 * SLICE_PORTS):
            if self._next + count > SLICE_PORTS:
                self._next = 0
            first = self.first + self._next
            if all(_can_be_bound(port) for port in range(first, first + count)):
                self._next += count
                return first
            self._next += 1
        raise OSError(f"no {count} neighbouring ports are free from {self.first} to {self.first + SLICE_PORTS - 1}")


_slice: PortSlice | None = None


def free_port(count: int = 1) -> int:
    """A TCP port of 127.0.0.1 that nobody uses and no other process is handed while this one lives.

    With `count`, the first of so many neighbours. Raises `OSError` when there is none.
    """
    global _slice
    if _slice is None or _slice.pid != os.getpid():  # a fork shares its parent's lock: it takes a slice of its own
        _slice = PortSlice.take()
        atexit.register(_slice.close)
    return _slice.hand_out(count)


def _can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
