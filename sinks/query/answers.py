"""What a database must be able to do for questions."""

import json
from collections.abc import Generator
from enum import StrEnum
from typing import Protocol

from sinks.query.statement import Statement


class Form(StrEnum):
    """How an answer is written. `table` is for people: a line of JSON for each row, the names first."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def cells(line: bytes) -> list[str]:
    """The texts of a line of a table; NULL is empty."""
    return [_cell(value) for value in json.loads(line)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Answers(Protocol):
    """One question at a time."""

    def stream(self, statement: Statement, form: Form) -> Generator[bytes]:
        """The answer in pieces, once the server has all of it: what fails fails before the first.

        Raises ReadFailedError, and TableUnfitError when what is asked is not there.
        """
        ...

    def rows(self, statement: Statement) -> list[list[str]]:
        """A small answer's rows, as text. Raises as `stream`."""
        ...
