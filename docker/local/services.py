"""The whole pipeline as processes: collector, streams and sinks on free ports, between the real servers.

with Pipeline(home, kafka_server, clickhouse_server, database=…, topic_prefix=…) as pipeline:
    pipeline.post("/v1/track", {"event": "Signed Up", "userId": "u1"})
    pipeline.wait_for("SELECT count() = 1 FROM events")
"""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from collector.projects.record import project_record
from collector.projects.topic import read_projects, write_project
from docker.local import PROJECT_ROOT
from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.process import HOST, ServerProcess, free_port
from schemas.codec import Codec
from schemas.registry import open_ids
from schemas.settings import PREFIX, Settings, to_environ

COMMAND_TIMEOUT_S = 60.0
WAIT_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.1


class Service(ServerProcess):
    """One `python -m PACKAGE run`: ready when its admin port says so. It can be stopped, killed, suspended, resumed."""

    def __init__(self, package: str, home: Path, settings: Settings, admin_port: int) -> None:
        super().__init__(home.name, home)
        self.admin_port = admin_port
        self.extra_environ: dict[str, str] = {}  # what is no setting, such as failpoints; read at each start
        self._settings = to_environ(settings)
        self._package = package

    def command(self) -> list[str]:
        return [*_environment(self._settings | self.extra_environ), *python(self._package), "run"]

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET on the admin port. Raises `OSError` when nobody answers."""
        return _exchange(urllib.request.Request(f"http://{HOST}:{self.admin_port}{path}"))

    def metric(self, sample: str) -> float:
        """The value of one sample of /metrics, named with its labels; 0 when there is none."""
        _, text = self.get("/metrics")
        values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{sample} ")]
        return float(values[0]) if values else 0.0

    @property
    def exit_code(self) -> int | None:
        """That of the last process started here; None while it runs; negative: the signal that ended it."""
        return None if self._child is None else self._child.poll()

    def terminate(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, wait, and the exit code. Raises `TimeoutError` where `stop` would go on to SIGKILL."""
        if (pid := self.pid) is not None:
            self._signal(pid, signal.SIGTERM)
            if not self._wait_ended(pid, timeout_s):
                raise TimeoutError(f"{self.name} did not end within {timeout_s:.0f} s\n{self.log_tail()}")
        return self.exit_code or 0


class Pipeline:
    """Topics, tables, one project, and its processes. `start` makes them all, `stop` ends the processes.

    `overrides` are settings; `workers` is how many streams processes start. Topics and tables stay after `stop`: their
    owner is the server, which a test throws away.
    """

    def __init__(
        self,
        home: Path,
        kafka: KafkaServer,
        clickhouse: ClickHouseServer,
        *,
        database: str,
        topic_prefix: str,
        workers: int = 1,
        **overrides: Any,
    ) -> None:
        self.home = home
        self.clickhouse = clickhouse
        own: dict[str, Any] = {
            "kafka_bootstrap": kafka.bootstrap,
            "topic_prefix": topic_prefix,
            "partitions": 4,
            "clickhouse_host": clickhouse.host,
            "clickhouse_tcp_port": clickhouse.tcp_port,
            "clickhouse_http_port": clickhouse.http_port,
            "clickhouse_database": database,
            "collector_port": free_port(),
            "collector_admin_port": free_port(),
            "sinks_admin_port": free_port(),
        }
        self.settings = Settings.model_validate(own | overrides)
        self.tenant_id = str(uuid.uuid4())
        self.project_id = ""
        self.write_key = ""
        self.collector = Service("collector", home / "collector", self.settings, self.settings.collector_admin_port)
        self.sinks = Service("sinks", home / "sinks", self.settings, self.settings.sinks_admin_port)
        self.streams: list[Service] = []
        for _ in range(workers):
            self.add_worker()

    @property
    def services(self) -> list[Service]:
        """Every process, in the order of the data's way."""
        return [self.collector, *self.streams, self.sinks]

    @property
    def url(self) -> str:
        """The collector's address, without a slash at the end."""
        return f"http://{HOST}:{self.settings.collector_port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a command that is to work on this pipeline."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return inherited | to_environ(self.settings) | {"PYTHONPATH": str(PROJECT_ROOT)}

    def add_worker(self, **overrides: Any) -> Service:
        """One more streams process in the same group, not started; `overrides` are settings of its own."""
        settings = self.settings.model_copy(update={"streams_admin_port": free_port()} | overrides)
        home = self.home / f"streams-{len(self.streams)}"
        worker = Service("streams", home, settings, settings.streams_admin_port)
        self.streams.append(worker)
        return worker

    def start(self) -> Self:
        """Topics, tables and a project, then every process, ready. Raises `ServerFailedError`, `CommandFailedError`."""
        self.run("schemas", "apply")
        self.add_project()
        return self.start_services()

    def start_services(self) -> Self:
        """Every process, ready; topics, tables and projects are there already. Raises `ServerFailedError`."""
        try:
            for service in self.services:
                service.launch()
            for service in self.services:
                service.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process, in the order of the data's way, so that each can finish what it has."""
        for service in self.services:
            service.stop(30.0)

    def run(self, package: str, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """One command of a package, to its end; what it wrote to standard output. Raises `CommandFailedError`."""
        done = subprocess.run(
            [*python(package), *arguments],
            env=self.environ,
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailedError([package, *arguments], done.returncode, done.stdout + done.stderr)
        return done.stdout

    def new_tenant(self) -> None:
        """Projects added from now on are another tenant's."""
        self.tenant_id = str(uuid.uuid4())

    def add_project(self, name: str = "shop", *, write_key: str | None = None, settings: str | None = None) -> None:
        """Add a project of this pipeline's tenant; `project_id` and `write_key` are from now on its.

        As `python -m collector projects add` does, without a process for it; a known write key's project is changed.
        Returns once a collector that runs knows it, which would answer 401 before. Raises `ValueError`,
        `ProjectsUnavailableError`, `TimeoutError`.
        """
        codec = Codec("projects", open_ids(self.settings.schema_registry_url, self.settings.topic_prefix))
        existing = read_projects(self.settings, codec).by_key(write_key) if write_key else None
        record = project_record(
            existing,
            time.time_ns() // 1_000_000,
            name=name,
            write_key=write_key,
            tenant_id=self.tenant_id,
            settings=settings,
        )
        write_project(self.settings, codec, record)
        self.write_key, self.project_id = record["write_key"], record["project_id"]
        if existing is None and self.collector.running and self.collector.is_ready():
            page = urllib.request.Request(f"{self.url}/v1/projects/{self.write_key}/settings")
            self.wait_until(lambda: _exchange(page)[0] == 200, f"the collector knows the project {name}")

    def post(
        self, path: str, body: Any, *, write_key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and body of one POST to the collector; bytes go as they are, anything else as JSON.

        Raises `OSError` when nobody answers.
        """
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        key = self.write_key if write_key is None else write_key
        basic = base64.b64encode(f"{key}:".encode()).decode()
        own = {"Content-Type": "application/json", "Authorization": f"Basic {basic}"}
        return _exchange(urllib.request.Request(f"{self.url}{path}", data, own | dict(headers or {}), method="POST"))

    def query(self, sql: str) -> str:
        """One statement in the pipeline's database; the answer as tab-separated text. Raises `OSError`."""
        url = f"{self.clickhouse.http_url}?database={self.settings.clickhouse_database}"
        status, answer = _exchange(urllib.request.Request(url, sql.encode(), method="POST"))
        if status != 200:
            raise OSError(f"{answer.strip()}\n{sql}")
        return answer

    def wait_for(self, sql: str, timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """Return once the query's answer is 1. Raises `TimeoutError` with the logs."""
        self.wait_until(lambda: self.query(sql) == "1\n", sql, timeout_s)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """Return once `condition()` holds. Raises `TimeoutError` with the logs after `timeout_s`."""
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"after {timeout_s:.0f} s still not: {what}\n{self.logs()}")
            time.sleep(POLL_INTERVAL_S)

    def logs(self, lines: int = 30) -> str:
        """The last log lines of every process since its last start."""
        parts = []
        for service in self.services:
            state = f"pid {service.pid}" if service.running else f"exit code {service.exit_code}"
            parts.append(f"--- {service.name} ({state})\n{service.log_tail(lines)}")
        return "\n".join(parts)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class CommandFailedError(RuntimeError):
    """A command ended with another exit code than 0; the text holds all it wrote."""

    def __init__(self, command: list[str], exit_code: int, output: str) -> None:
        super().__init__(f"python -m {' '.join(command)} ended with {exit_code}:\n{output}")
        self.exit_code = exit_code


def python(package: str) -> list[str]:
    """The command line of a package."""
    return [sys.executable, "-m", package]


def _environment(variables: Mapping[str, str]) -> list[str]:
    """`env` with the variables: a child of `ServerProcess` has the tests' own environment otherwise."""
    strays = [f"--unset={name}" for name in sorted(os.environ) if name.startswith(PREFIX)]
    own = dict(variables) | {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONFAULTHANDLER": "1"}
    return ["env", *strays, *(f"{name}={value}" for name, value in sorted(own.items()))]


def _exchange(request: urllib.request.Request) -> tuple[int, str]:
    """Status and body, whatever the status is."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except http.client.HTTPException as error:
        # Whoever answered was killed in the middle of it.
        raise OSError(f"the answer broke off: {error!r}") from error
