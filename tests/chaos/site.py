"""The whole pipeline as processes under supervision: what ends is started again, as systemd or Kubernetes would."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.process import HOST, ServerFailedError, free_port
from docker.local.services import Pipeline, Service
from streams.app import app_id
from tests.chaos.traffic import CONVERSION

PARTITIONS: Final = 4
COPIES: Final = 2  # of each process
SINK_TOPICS: Final = ("enriched_events", "sessions", "identities", "dead_letters", "projects")
_WATCH_S: Final = 0.25
_DROPPED_BY_TOKEN: Final = "SELECT sum(value) FROM system.events WHERE event = 'DuplicatedInsertedBlocks'"
_RESTART_S: Final = 1.0
_SCRAPE_EVERY: Final = 4  # rounds of watching
_KAFKA_TIMEOUT_S: Final = 5.0
_COUNTED: Final[Mapping[str, str]] = {
    'tally_sinks_records_total{outcome="drop",reason="replayed",topic="enriched_events"}': "dropped_by_watermark",
    'tally_sinks_batches_total{outcome="already_there",topic="enriched_events"}': "batches_found_in_table",
    'tally_sinks_batches_total{outcome="retried",topic="enriched_events"}': "inserts_repeated",
    'tally_streams_records_total{outcome="drop",reason="replayed",topic="raw_events"}': "skipped_by_guard",
}


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A safeguard taken away, for negative controls: modules that stand in for packages, and their environment.

    worker_dies: environment of the first start of the first worker alone.
    """

    programs: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    worker_dies: Mapping[str, str] = field(default_factory=dict)


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
        self.not_before = 0.0  # what ends by itself is not started again at once

    @property
    def name(self) -> str:
        """Which one it is."""
        return self.service.name


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
        self.kills = 0
        self.exits: Counter[str] = Counter()  # of processes that nobody had told to end
        clickhouse.query(f"CREATE DATABASE IF NOT EXISTS {name}")
        self.pipeline = Pipeline(
            home,
            kafka,
            clickhouse,
            database=name,
            topic_prefix=f"{name}_",
            workers=0,
            partitions=PARTITIONS,
            sinks_session_ms_max=6_000,
            sinks_retry_ms_max=2_000,
            **overrides,
        )
        self.settings = self.pipeline.settings
        self.slots: list[Slot] = []
        for kind in ("collector", "streams", "sinks"):
            for number in range(COPIES):
                self._add(kind, number, sabotage, static())
        self.of("streams")[0].once = dict(sabotage.worker_dies)
        self._counters: dict[tuple[str, int | None, str], float] = {}
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def _add(self, kind: str, number: int, sabotage: Sabotage, is_static: bool) -> None:
        own: dict[str, Any] = {f"{kind}_admin_port": free_port()}
        if kind == "collector":
            own["collector_port"] = free_port()
        elif is_static:
            # A static member that was killed is back at once; for another the group waits for its session to end.
            own[f"{kind}_instance_id"] = f"{kind}-{number}"
        settings = self.settings.model_copy(update=own)
        home = self.pipeline.home / f"{kind}-{number}"
        service = Service(sabotage.programs.get(kind, kind), home, settings, own[f"{kind}_admin_port"])
        self.slots.append(Slot(kind, service, own.get("collector_port", 0), sabotage.environ))

    # --- processes

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
            self.want(slot)
        self._watcher.start()
        return self

    def want(self, slot: Slot) -> None:
        """Have it run from now on."""
        with self._lock:
            slot.wanted = True
            self._launch(slot)

    def dismiss(self, slot: Slot) -> int:
        """SIGTERM, and not started again; its exit code. Raises TimeoutError when it does not end in time."""
        with self._lock:
            slot.wanted = False
        return slot.service.terminate(timeout_s=60.0)

    def kill(self, slot: Slot) -> None:
        """SIGKILL; the supervisor starts it again."""
        with self._lock:
            if slot.service.running:
                self._scrape(slot)
                self.kills += 1
                slot.service.kill()

    def kill_server(self, server: KafkaServer | ClickHouseServer) -> None:
        """SIGKILL; it stays down until somebody starts it."""
        self.kills += 1
        server.kill()

    @contextmanager
    def freezing(self, slot: Slot) -> Iterator[None]:
        """SIGSTOP while it lasts."""
        slot.frozen = True
        slot.service.suspend()
        try:
            yield
        finally:
            slot.service.resume()
            slot.frozen = False

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Return once every wanted process answers. Raises TimeoutError."""
        self.wait_until(lambda: all(slot.service.is_ready() for slot in self.slots if slot.wanted), "ready", timeout_s)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Return once it holds. Raises TimeoutError with the logs."""
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"after {timeout_s:.0f} s still not: {what}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self, lines: int = 15) -> str:
        """The last lines of every process."""
        return "\n".join(
            f"--- {slot.name} (exit {slot.service.exit_code})\n{slot.service.log_tail(lines)}" for slot in self.slots
        )

    def _launch(self, slot: Slot) -> None:
        slot.service.extra_environ = slot.environ | slot.once
        slot.once = {}
        slot.service.launch()

    def _watch(self) -> None:
        """Start again what has ended; read the counters that a crash resets."""
        rounds = 0
        while not self._ending.wait(_WATCH_S):
            rounds += 1
            if rounds % _SCRAPE_EVERY == 0:
                self._scrape_database()
            for slot in self.slots:
                with self._lock:
                    if not slot.wanted or slot.frozen:
                        continue
                    if not slot.service.running:
                        if slot.not_before < time.monotonic() and self._may_restart(slot):
                            self._launch(slot)
                    elif rounds % _SCRAPE_EVERY == 0:
                        self._scrape(slot)

    def _may_restart(self, slot: Slot) -> bool:
        """Whether at once; what ended by itself is noted and waits."""
        code = slot.service.exit_code
        if slot.not_before:
            slot.not_before = 0.0
            return True
        if code == -signal.SIGKILL:
            self.kills += slot.service.extra_environ != slot.environ  # by a failpoint; the others count themselves
            return True
        self.exits[f"{slot.kind} {code}"] += 1
        slot.not_before = time.monotonic() + _RESTART_S
        return False

    def _scrape(self, slot: Slot) -> None:
        try:
            _, text = slot.service.get("/metrics")
        except OSError:
            return
        for line in text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample in _COUNTED:
                self._counters[slot.name, slot.service.pid, _COUNTED[sample]] = float(value)

    def _scrape_database(self) -> None:
        try:
            value = self.clickhouse.query(_DROPPED_BY_TOKEN, timeout_s=1.0)
        except OSError:
            return
        self._counters["clickhouse", self.clickhouse.pid, "blocks_dropped_by_token"] = float(value)

    def repeats(self) -> int:
        """Records of enriched_events that have the source of another: what killed workers repeated."""
        stored = int(self.pipeline.query("SELECT uniqExact(source_partition, source_offset) FROM events"))
        return self._records("enriched_events") - stored

    def _records(self, topic: str) -> int:
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": "chaos", "log_level": 0})
        try:
            places = [TopicPartition(self.settings.topic(topic), partition) for partition in range(PARTITIONS)]
            bounds = [consumer.get_watermark_offsets(place, timeout=_KAFKA_TIMEOUT_S) for place in places]
            return sum(high - low for low, high in bounds)
        finally:
            consumer.close()

    def counted(self) -> dict[str, int]:
        """What the processes of all lives have counted, as last read before their end: at least so many."""
        found: Counter[str] = Counter(dict.fromkeys((*_COUNTED.values(), "blocks_dropped_by_token"), 0))
        for (_, _, name), value in self._counters.items():
            found[name] += int(value)
        return dict(found)

    # --- how far they are

    def lag(self) -> int:
        """Records of every group that are not acknowledged yet. Raises KafkaException."""
        streams = [(app_id(self.settings), topic) for topic in ("raw_events", "identity_claims")]
        prefix = f"{self.settings.topic_prefix}{self.settings.sinks_group}"
        return sum(
            self._lag_of(group, topic) for group, topic in [*streams, *((f"{prefix}-{t}", t) for t in SINK_TOPICS)]
        )

    def _lag_of(self, group: str, topic: str) -> int:
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": group, "log_level": 0})
        try:
            name = self.settings.topic(topic)
            partitions = consumer.list_topics(name, timeout=_KAFKA_TIMEOUT_S).topics[name].partitions
            places = [TopicPartition(name, partition) for partition in partitions]
            behind = 0
            for place in consumer.committed(places, timeout=_KAFKA_TIMEOUT_S):
                low, high = consumer.get_watermark_offsets(place, timeout=_KAFKA_TIMEOUT_S)
                behind += high - max(low, place.offset)
            return behind
        finally:
            consumer.close()

    def settle(self, timeout_s: float) -> None:
        """Return once nothing is under way anywhere. Raises TimeoutError."""

        def is_settled() -> bool:
            try:
                return self.lag() == 0
            except KafkaException:
                return False

        self.wait_until(is_settled, "lag is 0", timeout_s)

    def stop(self) -> None:
        """End every process, in order."""
        self._ending.set()
        if self._watcher.is_alive():
            self._watcher.join()
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
