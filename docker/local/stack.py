"""The servers of one machine together, running on their own after the command that started them has ended.

home/stack.json        which servers, on which ports
home/<name>/           data, server.log, server.pid
home/logs/<name>.log   links to the logs
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.locking import exclusive
from docker.local.postgresql import PostgresServer
from docker.local.process import HOST, ServerProcess, accepts_connections
from docker.local.prometheus import PrometheusServer
from docker.local.registry import SchemaRegistryServer


class StackError(RuntimeError):
    """The stack can't be started as asked; the text says what to do."""


@dataclass(frozen=True)
class Part:
    """What one server of the stack is doing."""

    name: str
    pid: int | None
    ports: Mapping[str, int]
    ready: bool


class Stack:
    """The servers in `home`. `ports` is {server: {port name: number}}; the servers it names are the stack's."""

    def __init__(self, home: Path, prometheus_config: Path | None = None) -> None:
        self._home = home.resolve()
        self._prometheus_config = prometheus_config
        self._state = self._home / "stack.json"

    def up(self, ports: Mapping[str, Mapping[str, int]], tell: Callable[[str], None] = print) -> None:
        """Start what does not run yet, and wait. Raises `StackError`, `ServerFailedError`, `MissingToolError`."""
        with exclusive(self._home / ".lock"):
            known = self._saved_ports()
            for name, wanted in ports.items():
                server = self._server(name, wanted)
                if not server.running:
                    _require_free(name, wanted)
                elif (current := known.get(name, wanted)) != wanted:
                    raise StackError(f"{name} runs on {listing(current)}: `down` first to move it")
                known[name] = wanted
                self._state.write_text(json.dumps(known, indent=2) + "\n")
                self._link_log(server)
                server.start()
                tell(f"{name} is ready on {listing(wanted)} (pid {server.pid})")

    def down(self, tell: Callable[[str], None] = print) -> None:
        """End what runs; the data stays."""
        with exclusive(self._home / ".lock"):
            for name, server in reversed(list(self._servers())):
                if server.running:
                    server.stop()
                    tell(f"{name} has ended")

    def status(self) -> list[Part]:
        """Every server that was ever started in this home."""
        ports = self._saved_ports()
        return [
            Part(name, server.pid, ports[name], server.running and server.is_ready())
            for name, server in self._servers()
        ]

    def _servers(self) -> Iterator[tuple[str, ServerProcess]]:
        for name, ports in self._saved_ports().items():
            yield name, self._server(name, ports)

    def _server(self, name: str, ports: Mapping[str, int]) -> ServerProcess:
        home = self._home / name
        match name:
            case "kafka":
                return KafkaServer(
                    home, port=ports["port"], controller_port=ports["controller_port"], ends_with_parent=False
                )
            case "clickhouse":
                return ClickHouseServer(
                    home, tcp_port=ports["tcp_port"], http_port=ports["http_port"], ends_with_parent=False
                )
            case "prometheus":
                config = self._prometheus_config
                return PrometheusServer(home, port=ports["port"], config_file=config, ends_with_parent=False)
            case "postgresql":
                return PostgresServer(home, port=ports["port"], ends_with_parent=False)
            case "registry":
                return SchemaRegistryServer(home, port=ports["port"], ends_with_parent=False)
        raise StackError(f"no server is called {name}")

    def _saved_ports(self) -> dict[str, Mapping[str, int]]:
        try:
            saved: dict[str, Mapping[str, int]] = json.loads(self._state.read_text())
        except FileNotFoundError:
            return {}
        return saved

    def _link_log(self, server: ServerProcess) -> None:
        link = self._home / "logs" / f"{server.name}.log"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(server.log_path)


def listing(ports: Mapping[str, int]) -> str:
    """The ports in words."""
    return f"{HOST} " + ", ".join(f"{name} {port}" for name, port in ports.items())


def _require_free(name: str, ports: Mapping[str, int]) -> None:
    for port in ports.values():
        if accepts_connections(port):
            raise StackError(f"{name} can't have port {port}: another program listens there")
