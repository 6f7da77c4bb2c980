"""Questions over ClickHouse's native protocol, on one connection. Rows go in over HTTP, as they come: see `http`."""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.settings import Settings
from sinks.errors import ReadFailedError

_CONNECT_S = 5


class Client:
    """Connects with the first question. `timeout_s`: longest wait for an answer; `threads_max`: on the server."""

    def __init__(self, settings: Settings, timeout_s: float | None = None, threads_max: int | None = None) -> None:
        # Imported late: 0.13 s of CPU, which a process that only writes rows need not spend.
        from clickhouse_driver import Client as Driver
        from clickhouse_driver.errors import Error

        options: dict[str, Any] = {} if timeout_s is None else {"send_receive_timeout": timeout_s}
        if threads_max is not None:
            options["settings"] = {"max_threads": threads_max}
        self._errors = (Error, EOFError, OSError)
        self._driver = Driver(
            settings.clickhouse_host,
            port=settings.clickhouse_tcp_port,
            user=settings.clickhouse_user,
            password=settings.clickhouse_password.get_secret_value(),
            database=settings.clickhouse_database,
            connect_timeout=_CONNECT_S,
            **options,
        )

    def execute(
        self,
        query: str,
        values: Mapping[str, Any] | Sequence[tuple[Any, ...]] | None = None,
        *,
        columnar: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """The answer's rows, or its columns. Raises ReadFailedError.

        `values`: what %(name)s in the query stand for; the rows of an INSERT.
        """
        try:
            answer: list[tuple[Any, ...]] = self._driver.execute(query, values, columnar=columnar, settings=settings)
        except self._errors as error:
            raise ReadFailedError(str(error)) from error
        return answer

    def disconnect(self) -> None:
        """Let go of the connection."""
        self._driver.disconnect()
