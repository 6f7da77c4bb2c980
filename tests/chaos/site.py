"""The whole pipeline as processes under supervision, between servers that may be ended."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import KafkaException

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.process import HOST, ServerFailedError, ServerProcess, free_port
from docker.local.services import Pipeline, Service
from tests.chaos.batches import CONVERSION
from tests.chaos.exits import DATABASE, KAFKA, STUCK_S
from tests.chaos.rest import Groups
from tests.chaos.supervisor import Slot, Supervisor

PARTITIONS: Final = 4
COPIES: Final = 2  # of each process
REQUEST_S: Final = 5.0  # the sinks' patience with ClickHouse: shorter than it hangs, so that they ask again
ROLLUPS_S: Final = 3  # so that kills come in the middle of a round
# A worker has no failpoints of its own: this one is the same program, and dies where its environment says.
_PROGRAMS: Final = {"streams": "tests.streams.failing_worker"}
_POLL_S: Final = 0.1
_LOG_LINES: Final = 40


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A safeguard taken away, for negative controls: modules that stand in for packages, and their environment.

    worker_dies: environment of the first start of the first worker alone.
    """

    programs: dict[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    worker_dies: Mapping[str, str] = field(default_factory=dict)


class Site:
    """Two places each for collector, worker and sink; topics, tables and a project of their own on shared servers."""

    def __init__(
        self,
        home: Path,
        kafka: KafkaServer,
        clickhouse: ClickHouseServer,
        name: str,
        sabotage: Sabotage,
        static: Callable[[], bool],
        **overrides: Any,
    ) -> None:
        self.kafka = kafka
        self.clickhouse = clickhouse
        clickhouse.query(f"CREATE DATABASE IF NOT EXISTS {name}")
        own: dict[str, Any] = {
            "partitions": PARTITIONS,
            "sinks_session_ms_max": 6_000,
            "sinks_retry_ms_max": 2_000,
            "sinks_request_ms_max": int(REQUEST_S * 1_000),
            "streams_stuck_s_max": STUCK_S,
            "sinks_rollups_interval_s": ROLLUPS_S,
        }
        self.pipeline = Pipeline(
            home, kafka, clickhouse, database=name, topic_prefix=f"{name}_", workers=0, **own | overrides
        )
        self.settings = self.pipeline.settings
        self.slots: list[Slot] = []
        for kind in ("collector", "streams", "sinks"):
            for number in range(COPIES):
                self._add(kind, number, sabotage, static())
        self.of("streams")[0].once = dict(sabotage.worker_dies)
        self.supervisor = Supervisor(self.slots, clickhouse)
        self._groups = Groups(self.settings)
        self._busy = {server.name: threading.Lock() for server in (kafka, clickhouse)}

    def _add(self, kind: str, number: int, sabotage: Sabotage, is_static: bool) -> None:
        own: dict[str, Any] = {f"{kind}_admin_port": free_port()}
        if kind == "collector":
            own["collector_port"] = free_port()
        elif is_static:
            # A static member that was killed is back at once; for another the group waits for its session to end.
            own[f"{kind}_instance_id"] = f"{kind}-{number}"
        settings = self.settings.model_copy(update=own)
        home = self.pipeline.home / f"{kind}-{number}"
        service = Service((_PROGRAMS | sabotage.programs).get(kind, kind), home, settings, own[f"{kind}_admin_port"])
        self.slots.append(Slot(kind, service, own.get("collector_port", 0), sabotage.environ))

    def of(self, kind: str) -> list[Slot]:
        """The places for one kind of process: collector, streams or sinks."""
        return [slot for slot in self.slots if slot.kind == kind]

    def up(self, kind: str) -> list[Slot]:
        """Those of a kind that are wanted and run now."""
        return [slot for slot in self.of(kind) if slot.wanted and slot.service.running and not slot.frozen]

    @property
    def urls(self) -> list[str]:
        """Addresses of the collectors."""
        return [f"http://{HOST}:{slot.port}" for slot in self.of("collector")]

    def start(self) -> Self:
        """Topics, tables, a project; one of each process, and both collectors."""
        self.pipeline.run("schemas", "apply")
        self.pipeline.add_project("shop", settings=f'{{"conversion_events":["{CONVERSION}"]}}')
        for slot in (*self.of("collector"), self.of("streams")[0], self.of("sinks")[0]):
            self.supervisor.want(slot)
        self.supervisor.start()
        return self

    @contextmanager
    def ours(self, server: ServerProcess) -> Iterator[bool]:
        """Whether nobody else does something to the server; then nobody will until the block is left."""
        is_ours = self._busy[server.name].acquire(blocking=False)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._busy[server.name].release()

    @contextmanager
    def outage(self, server: ServerProcess) -> Iterator[None]:
        """SIGKILL of a server; it is started again, and answers, when the block is left."""
        with self.supervisor.trouble(KAFKA if server is self.kafka else DATABASE):
            if server is self.clickhouse:
                self.supervisor.counters.read_database(self.clickhouse)
            server.kill()
            self.supervisor.kills += 1
            yield
            server.start()

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Return once every wanted process answers. Raises TimeoutError."""
        self.wait_until(lambda: all(slot.service.is_ready() for slot in self.slots if slot.wanted), "ready", timeout_s)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Return once it holds. Raises TimeoutError with the logs, SupervisorFailedError when nobody watches."""
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            self.supervisor.check()
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"after {timeout_s:.0f} s still not: {what}\n{self.logs()}")
            time.sleep(_POLL_S)

    def settle(self, timeout_s: float) -> None:
        """Return once nothing is under way anywhere. Raises TimeoutError."""

        def is_settled() -> bool:
            try:
                return self._groups.lag() == 0
            except KafkaException:
                return False

        self.wait_until(is_settled, "lag is 0", timeout_s)

    def repeats(self) -> int:
        """Records of enriched_events that have the source of another: what killed workers repeated."""
        stored = int(self.pipeline.query("SELECT uniqExact(source_partition, source_offset) FROM events"))
        return self._groups.records("enriched_events") - stored

    def logs(self, lines: int = _LOG_LINES) -> str:
        """The last lines of every process, Kafka's and ClickHouse's too."""
        parts = [
            f"--- {slot.name} (exit {slot.service.exit_code})\n{slot.service.log_tail(lines)}" for slot in self.slots
        ]
        parts += [f"--- {server.name}\n{server.log_tail(lines // 4)}" for server in (self.kafka, self.clickhouse)]
        return "\n".join(parts)

    def stop(self) -> None:
        """End every process, in order."""
        self.supervisor.stop()
        self._groups.close()
        for slot in self.slots:
            slot.wanted = False
            slot.service.resume()
            slot.service.stop(30.0)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except (ServerFailedError, OSError):
            self.stop()
            raise

    def __exit__(self, *_error: object) -> None:
        self.stop()
