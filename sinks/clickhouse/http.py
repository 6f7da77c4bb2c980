"""ClickHouse's HTTP interface: one keep-alive connection, errors of one tree."""

import http.client
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from schemas.settings import Settings
from sinks.clickhouse.errors import from_answer
from sinks.errors import WriteFailedError
from sinks.failpoints import Failpoint, nothing

# ClickHouse closes an idle connection after 3 or 10 s, depending on its version; to find that out with a batch would
# look like an answer lost.
_IDLE_S_MAX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where ClickHouse is. `timeout_s` is for one request."""

    host: str
    http_port: int
    database: str
    user: str
    password: str
    timeout_s: float


def clickhouse_server(settings: Settings) -> Server:
    """The server that the settings name."""
    return Server(
        settings.clickhouse_host,
        settings.clickhouse_http_port,
        settings.clickhouse_database,
        settings.clickhouse_user,
        settings.clickhouse_password.get_secret_value(),
        settings.sinks_request_ms_max / 1000,
    )


class Connection:
    """One keep-alive connection; opened when it is needed, closed by any trouble."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._http = http.client.HTTPConnection(server.host, server.http_port, timeout=server.timeout_s)
        self._used_at = 0.0
        self._headers = {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password}

    @property
    def database(self) -> str:
        """Where tables are looked for."""
        return self._server.database

    @property
    def timeout_s(self) -> float:
        """The longest wait for an answer."""
        return self._server.timeout_s

    def ask(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The answer to a query; {name:Type} in it are filled from `parameters`. Raises SinkError."""
        filled = {f"param_{name}": value for name, value in (parameters or {}).items()}
        return self.send(query, [], {**filled, **(settings or {})})

    def send(
        self, query: str, body: Sequence[bytes], settings: Mapping[str, Any], failpoint: Failpoint = nothing
    ) -> bytes:
        """Post `body` to a query. Raises SinkError."""
        target = "/?" + urlencode({"query": query, "database": self._server.database, **settings})
        if time.monotonic() - self._used_at > _IDLE_S_MAX:
            self.close()
        try:
            self._http.putrequest("POST", target, skip_accept_encoding=True)
            for name, value in self._headers.items():
                self._http.putheader(name, value)
            self._http.putheader("Content-Length", str(sum(map(len, body))))
            self._http.endheaders()
            self._send_body(body, failpoint)
            answer = self._http.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise WriteFailedError(f"{type(error).__name__}: {error}") from None
        self._used_at = time.monotonic()
        if answer.status != 200:
            code = answer.getheader("X-ClickHouse-Exception-Code") or "0"
            raise from_answer(answer.status, int(code), text.decode(errors="replace"))
        return text

    def close(self) -> None:
        """Let go of the socket."""
        self._http.close()

    def _send_body(self, body: Sequence[bytes], failpoint: Failpoint) -> None:
        if failpoint is nothing:
            for piece in body:
                self._http.send(piece)
            return
        whole = b"".join(body)
        self._http.send(whole[: len(whole) // 2])
        failpoint("during_insert")
        self._http.send(whole[len(whole) // 2 :])
