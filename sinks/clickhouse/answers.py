"""Answers over HTTP, in whatever form ClickHouse writes, passed on in pieces."""

import http.client
from collections.abc import Generator
from typing import Final
from urllib.parse import urlencode

from sinks.clickhouse.http import Server
from sinks.errors import ReadFailedError, TableUnfitError
from sinks.query.answers import Form, cells
from sinks.query.statement import Statement

_PIECE_BYTES: Final = 65_536
_FORMATS: Final = {
    Form.TABLE: "JSONCompactEachRowWithNames",
    Form.CSV: "CSVWithNames",
    Form.JSON: "JSONEachRow",
    Form.PARQUET: "Parquet",
}
_SETTINGS: Final = {
    # The server keeps the answer until it is whole, the most of it on its disk: else an error in the middle of it would
    # come behind a 200 and look like rows.
    "wait_end_of_query": "1",
    # A question changes nothing, and ends on the server too when nobody waits for it any more.
    "readonly": "2",
    "cancel_http_readonly_queries_on_client_close": "1",
    "output_format_json_array_of_rows": "1",
    "output_format_json_quote_64bit_integers": "0",
}
_DETAIL_CHARS_MAX: Final = 400  # ClickHouse likes to repeat the whole query
_MISSING: Final = {47, 60, 81}  # no such column, table or view, database


class ClickHouseAnswers:
    """A connection a question; nothing is kept between them."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def stream(self, statement: Statement, form: Form) -> Generator[bytes]:
        """As `Answers` says."""
        server = self._server
        connection = http.client.HTTPConnection(server.host, server.http_port, timeout=server.timeout_s)
        parameters = {f"param_{name}": value for name, value in statement.sent().items()}
        try:
            connection.request(
                "POST",
                "/?" + urlencode({"database": server.database, **_SETTINGS, **parameters}),
                f"{statement.sql}\nFORMAT {_FORMATS[form]}".encode(),
                {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password},
            )
            answer = connection.getresponse()
            if answer.status != 200:
                raise _failure(answer, server.database)
            while piece := answer.read(_PIECE_BYTES):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            where = f"ClickHouse at {server.host}:{server.http_port}"
            raise ReadFailedError(f"{where}: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def rows(self, statement: Statement) -> list[list[str]]:
        """As `Answers` says."""
        lines = b"".join(self.stream(statement, Form.TABLE)).split(b"\n")
        return [cells(line) for line in lines[1:] if line]


def _failure(answer: http.client.HTTPResponse, database: str) -> Exception:
    code = int(answer.getheader("X-ClickHouse-Exception-Code") or "0")
    text = answer.read(_PIECE_BYTES).decode(errors="replace").strip()
    line = text.splitlines()[0] if text else f"HTTP {answer.status}"
    line = line if len(line) <= _DETAIL_CHARS_MAX else f"{line[:_DETAIL_CHARS_MAX]} …"
    if code in _MISSING:
        return TableUnfitError(f"database {database} is not what the queries need: {line}", code)
    return ReadFailedError(f"ClickHouse: {line}")
