"""One schema registry with Confluent's API; its schemas live in memory only."""

import urllib.request
from pathlib import Path

from docker.local.packages import fetch
from docker.local.process import HOST, ServerProcess, free_port
from docker.local.tools import java

_HEAP = "-Xmx256m"


class SchemaRegistryServer(ServerProcess):
    """`port` 0 means: choose a free one, and keep it. A restart forgets the schemas."""

    def __init__(self, home: Path, *, port: int = 0, ends_with_parent: bool = True) -> None:
        super().__init__("registry", home, ends_with_parent=ends_with_parent)
        self.port = port or free_port()

    @property
    def url(self) -> str:
        """What TALLY_SCHEMA_REGISTRY_URL wants."""
        return f"http://{HOST}:{self.port}/apis/ccompat/v7"

    def command(self) -> list[str]:
        (jar,) = (fetch("registry") / "app").glob("*-runner.jar")
        own = [f"-Dquarkus.http.port={self.port}", f"-Dquarkus.http.host={HOST}", f"-Djava.io.tmpdir={self.home}/"]
        return [str(java()), _HEAP, *own, "-jar", str(jar)]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
