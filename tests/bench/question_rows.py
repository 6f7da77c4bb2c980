"""Rows of the shape of a shop's history, made by ClickHouse itself from numbers: ten million in a minute or two."""

from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Final

_STATEMENT: Final = Template((resources.files("tests.bench") / "question_rows.sql").read_text("utf-8"))
TENANT: Final = "tenant-1"  # nine in ten rows are this one's
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class History:
    """So many rows of `days` before `end_ms`; equal values make equal rows."""

    rows: int
    end_ms: int
    visitors: int = 800_000
    days: int = 52
    seed: int = 1

    def insert(self, first: int, count: int) -> str:
        """The INSERT of the rows from number `first` on."""
        values = {
            "rows": self.rows,
            "end_ms": self.end_ms,
            "visitors": self.visitors,
            "span_ms": self.days * _DAY_MS,
            "seed": self.seed,
            "first": first,
            "count": count,
        }
        return _STATEMENT.substitute(values)
