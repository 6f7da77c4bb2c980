"""The collector as a process between a client and a real Kafka."""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from collector.projects.record import project_record
from collector.projects.topic import write_project
from docker.local import PROJECT_ROOT
from docker.local.process import HOST, free_port
from docker.local.services import Service, python
from docker.local.tools import bare_environ
from schemas.apply.topics import apply_topics
from schemas.settings import Settings, to_environ
from tests.collector.made import codec
from tests.kafka import Kafka
from tests.waiting import wait_until

TENANT = "0c9a3f52-6f0b-4a86-8f4c-3f2f6f1f4a22"


@dataclass(frozen=True)
class Stored:
    """A record as it stands in a topic."""

    key: bytes
    partition: int
    value: dict[str, Any]


class Running:
    """Topics of its own, a project, and the collector's process, started by `start`."""

    def __init__(self, home: Path, bootstrap: str, prefix: str, **overrides: Any) -> None:
        own: dict[str, Any] = {
            "kafka_bootstrap": bootstrap,
            "topic_prefix": prefix,
            "partitions": 4,
            "collector_port": free_port(),
            "collector_admin_port": free_port(),
        }
        self.settings = Settings.model_validate(own | overrides)
        self.service = Service("collector", home, self.settings, self.settings.collector_admin_port)
        self.write_key = ""
        self.project_id = ""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.settings.collector_port}"

    def prepare(self) -> Self:
        """Create the topics and a project."""
        apply_topics(self.settings)
        self.add_project()
        return self

    def add_project(self) -> None:
        """One more project; what is sent and read back from now on is its."""
        record = project_record(None, time.time_ns() // 1_000_000, name="tests", tenant_id=TENANT)
        write_project(self.settings, codec("projects"), record)
        self.write_key, self.project_id = record["write_key"], record["project_id"]

    def wait_until_known(self) -> None:
        """Return once the process has read of the project."""
        wait_until(lambda: self.post("/v1/batch", {"batch": []}) == 200, self.service.log_tail)

    def start(self) -> Self:
        """Start the process and wait until it is ready."""
        self.service.start()
        return self

    def command(self, *arguments: str, code: int = 0) -> str:
        """Run `python -m collector …` to its end and return what it printed; it must exit with `code`."""
        done = subprocess.run(
            [*python("collector"), *arguments],
            env=bare_environ(COLUMNS="200") | to_environ(self.settings),
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None, timeout_s: float = 30) -> int:
        """The status of a POST with the project's key. Raises OSError when nobody answers."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        basic = base64.b64encode(f"{self.write_key}:".encode()).decode()
        own = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        sent = urllib.request.Request(f"{self.url}{path}", data, own | dict(headers or {}), method="POST")
        try:
            with urllib.request.urlopen(sent, timeout=timeout_s) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def stored(self, topic: str) -> list[Stored]:
        """What a topic holds of the project, in the order of partitions and offsets."""
        assert self.project_id, "nothing is this project's: `add_project` first"
        return [stored for stored in read_topic(self.settings, topic) if stored.value["project_id"] == self.project_id]

    def raw_events(self) -> list[dict[str, Any]]:
        """The project's raw events, in the order of their ids."""
        return sorted((stored.value for stored in self.stored("raw_events")), key=lambda value: str(value["event_id"]))


def read_topic(settings: Settings, topic: str) -> list[Stored]:
    """Everything in a topic, in the order of partitions and offsets."""
    kafka = Kafka(settings)
    try:
        records = kafka.read(topic)
    finally:
        kafka.disconnect()
    return [Stored(record.key or b"", record.partition, codec(topic).decode(record.value or b"")) for record in records]
