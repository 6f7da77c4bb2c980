"""One Kafka broker in KRaft mode: its own controller, data in `home/data`."""

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from docker.local.locking import exclusive
from docker.local.packages import fetch
from docker.local.process import HOST, ServerFailedError, ServerProcess, accepts_connections, free_port
from docker.local.tools import java

_JVM_FLAGS = ["-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dfile.encoding=UTF-8"]


class KafkaServer(ServerProcess):
    """A broker for one machine: every replication factor is 1, topics are never created by a stray client.

    `port` and `controller_port` 0 mean: choose free ones, and keep them over restarts. `properties` are added to, or
    replace, lines of server.properties. `lives_minutes`: compile little, which costs a short life less than it gives.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        controller_port: int = 0,
        heap_mb: int = 768,
        properties: Mapping[str, str] | None = None,
        ends_with_parent: bool = True,
        lives_minutes: bool = False,
    ) -> None:
        super().__init__("kafka", home, ends_with_parent=ends_with_parent)
        self._jvm_flags = [*_JVM_FLAGS, "-XX:TieredStopAtLevel=1"] if lives_minutes else _JVM_FLAGS
        self.port = port or free_port()
        self.controller_port = controller_port or free_port()
        self._heap_mb = heap_mb
        self._properties = dict(properties or {})

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return f"{HOST}:{self.port}"

    def prepare(self) -> None:
        lines = [f"{name}={value}" for name, value in (self._own_properties() | self._properties).items()]
        self._config_path.write_text("\n".join(lines) + "\n")
        if not (self.home / "data" / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        heap = f"{self._heap_mb}m"
        return [
            str(java()),
            f"-Xms{heap}",
            f"-Xmx{heap}",
            *self._jvm_flags,
            self._class_flag(),
            "-cp",
            _class_path(),
            "kafka.Kafka",
            str(self._config_path),
        ]

    def is_ready(self) -> bool:
        if not accepts_connections(self.port):
            return False
        try:
            metadata = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(timeout=2.0)
        except KafkaException:
            return False
        return 1 in metadata.brokers

    def _class_flag(self) -> str:
        """Without the archive, or with another JVM's, a broker starts all the same."""
        return f"-XX:SharedArchiveFile={_class_archive()}"

    @property
    def _config_path(self) -> Path:
        return self.home / "server.properties"

    def _own_properties(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.home / "data"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": "1",
            "min.insync.replicas": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # After a crash the controller holds the broker's old session until this has passed; 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # How often a controller without anything to say writes that; half a second by default, a third of an idle
            # broker's work.
            "metadata.max.idle.interval.ms": "10000",
            "num.network.threads": "2",
            "num.io.threads": "4",
        }

    def _format(self) -> None:
        """Storage as StorageTool makes it, copied: a JVM for each new broker would cost a second of CPU.

        Its cluster id is every copy's, which harms nothing: each is a cluster of its own, and no two share a port.
        """
        java()  # what lacks first is named first
        formatted = fetch("kafka") / "formatted"  # goes with the package: another version makes its own
        with exclusive(formatted.with_suffix(".lock")):
            if not formatted.exists():
                self._make_formatted(formatted)
        incoming = self.home / "data.incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        shutil.copytree(formatted / "data", incoming)
        shutil.rmtree(self.home / "data", ignore_errors=True)
        incoming.rename(self.home / "data")

    def _make_formatted(self, formatted: Path) -> None:
        making = formatted.with_suffix(".making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        own = self._own_properties() | self._properties | {"log.dirs": str(making / "data")}
        config = making / "server.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in own.items()))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One word: an id may begin with a dash, which would be taken for an option.
        arguments = ["format", f"--cluster-id={cluster_id}", "-c", str(config)]
        command = [str(java()), "-XX:TieredStopAtLevel=1", "-cp", _class_path(), "kafka.tools.StorageTool", *arguments]
        done = subprocess.run(command, cwd=making, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerFailedError(self.name, "could not format its storage", (done.stdout + done.stderr)[-4000:])
        making.rename(formatted)


class _ArchivingServer(KafkaServer):
    """A broker that leaves its classes in an archive when it ends."""

    archive = Path()

    def _class_flag(self) -> str:
        return f"-XX:ArchiveClassesAtExit={self.archive}"


def archive_classes() -> None:
    """Keep a broker's classes as the JVM has loaded and verified them: the next ones start with half the CPU.

    Once a package. Raises `MissingToolError`, `FetchFailedError`, `ServerFailedError`.
    """
    archive = _class_archive()
    with exclusive(archive.with_suffix(".lock")), tempfile.TemporaryDirectory(prefix="tally-classes-") as home:
        if archive.exists():
            return
        broker = _ArchivingServer(Path(home), heap_mb=256, lives_minutes=True)
        broker.archive = archive.with_suffix(".making")
        with broker:
            pass
        if broker.archive.exists():  # not where the JVM makes none
            broker.archive.rename(archive)


def _class_archive() -> Path:
    return fetch("kafka") / "classes.jsa"  # goes with the package, whose jars it names


def _class_path() -> str:
    # As it is on the disk: the archive of classes knows the jars by their paths.
    return f"{fetch('kafka').resolve() / 'libs'}/*"
