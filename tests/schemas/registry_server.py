"""A schema registry as far as Tally asks one, which may be away, refuse, and want credentials."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from docker.local.process import free_port

HOST = "127.0.0.1"


class RegistryServer:
    """Listens from `start` to `stop`, each time on the same port. `schemas`: by id, from 1 on."""

    def __init__(self) -> None:
        self.port = free_port()
        self.schemas: list[str] = []
        self.asked: list[str] = []
        self._server: ThreadingHTTPServer | None = None

    def url(self, credentials: str = "") -> str:
        """Its address, with credentials in it when they are given."""
        return f"http://{credentials and credentials + '@'}{HOST}:{self.port}"

    def start(self) -> None:
        """Answer from now on."""
        self._server = ThreadingHTTPServer((HOST, self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                schema: str = body["schema"]
                if schema not in registry.schemas:
                    registry.schemas.append(schema)
                self._answer(200, {"id": registry.schemas.index(schema) + 1})

            def do_GET(self) -> None:
                registry.asked.append(threading.current_thread().name)
                number = int(self.path.partition("?")[0].rpartition("/")[2])
                if 1 <= number <= len(registry.schemas):
                    self._answer(200, {"schema": registry.schemas[number - 1]})
                else:
                    self._answer(404, {"error_code": 40403, "message": "Schema not found"})

            def _answer(self, status: int, body: Any) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_arguments: object) -> None:
                """Nobody reads it."""

        return Handler
